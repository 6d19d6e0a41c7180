import { Graph } from './builder.js';
import { declareInputs, forward } from './explain.js';
import type { ExplainedModel } from './explain.js';
import { linear } from './linear.js';

/**
 * A text scored with its own tokens given ("teacher forcing"), in whatever precision the weights are. B = 1.
 * Inputs as `declareInputs` names them. Outputs: `logProbability` [N] fp32, of the tokens looked at, in nats, and
 * `likeliest` [N] int64, the most likely token in the place of each.
 */
export function scoreGraph(model: ExplainedModel): Graph {
  const g = new Graph('score');
  const inputs = declareInputs(g, model);
  const hidden = g.squeeze(forward(g, model, inputs), 0); // [N, C]
  const logits = linear(g, hidden, model.gpt2.head); // [N, V]
  const logProbabilities = g.logSoftmax(logits);
  const own = g.gatherElements(logProbabilities, g.unsqueeze(inputs.targets, 1), 1); // [N, 1]
  g.output(g.squeeze(own, 1), 'float', [null], 'logProbability');
  g.output(g.op('ArgMax', [logits], { axis: { i: 1 }, keepdims: { i: 0 } }), 'int64', [null], 'likeliest');
  return g;
}
