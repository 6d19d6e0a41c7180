/**
 * GPT-2 read instead of decoded: one pass over `[prefix ; prompt ; text]` with the text given, attention as an
 * explicit softmax, so that its weights can be looked at. A token is predicted at the position before it; "its"
 * attention, probability and rank are those of that position.
 *
 * B images, P prefix slots, L = P + prompt + text tokens fed (all but the last), N tokens looked at, V vocabulary.
 */
import { Graph } from './builder.js';
import type { Value } from './builder.js';
import { layerNorm } from './encoder.js';
import { conv1d, linear } from './linear.js';
import { projector } from './projector.js';
import type { Gpt2Block, Gpt2Sizes, Gpt2Weights, Matrix, ProjectorWeights } from './weights.js';

const EPSILON = 1e-5;
/** Additive mask of a later position: its weight becomes exactly 0. */
const UNSEEN = -1e30;

/** One stage as it is read. */
export interface ExplainedModel {
  sizes: Omit<Gpt2Sizes, 'endOfText'>;
  prefixSlots: number;
  embedding: number;
  projector: ProjectorWeights;
  gpt2: Gpt2Weights;
}

/** Inputs of all graphs that read a text. */
export interface ReadingInputs {
  /** [B, D] fp32 */
  embedding: Value;
  /** [L − P] int64: the prompt's tokens, then the text's but the last */
  ids: Value;
  /** [N] int64: the positions that predict the tokens looked at */
  rows: Value;
  /** [N] int64: these tokens */
  targets: Value;
}

/**
 * Everything about one image and one text. B = 1.
 * Further input `topK` [1] int64. Outputs: `attention` [layers, H, N, L], `meanAttention` [layers, L, L] (over heads,
 * of every position), `hidden` [N, C] (behind the last norm), `logProbability` [N], `rank` [N] int64 (1 = the likeliest),
 * `entropy` [N] (nats), `topTokens` [N, K] int64 and `topLogProbability` [N, K].
 */
export function explainGraph(model: ExplainedModel): Graph {
  const { sizes, gpt2 } = model;
  const layers = gpt2.blocks.length;
  const g = new Graph('explain');
  const inputs = declareInputs(g, model);
  const topK = g.input('topK', 'int64', [1]);

  const looked: Value[] = [];
  const means: Value[] = [];
  const hidden = forward(g, model, inputs, weights => {
    looked.push(g.gather(weights, inputs.rows, 2)); // [1, H, N, L]
    means.push(g.op('ReduceMean', [weights, g.ints([1])], { keepdims: { i: 0 } })); // [1, L, L]
  });
  g.output(g.concat(looked, 0), 'float', [layers, sizes.heads, null, null], 'attention');
  g.output(g.concat(means, 0), 'float', [layers, null, null], 'meanAttention');

  const rows = g.squeeze(hidden, 0); // [N, C]
  g.output(rows, 'float', [null, sizes.width], 'hidden');
  const logits = linear(g, rows, gpt2.head); // [N, V]
  const logProbabilities = g.logSoftmax(logits);
  const target = g.unsqueeze(inputs.targets, 1); // [N, 1]
  const own = g.gatherElements(logProbabilities, target, 1); // [N, 1]
  g.output(g.squeeze(own, 1), 'float', [null], 'logProbability');
  const likelier = g.cast(g.op('Greater', [logits, g.gatherElements(logits, target, 1)]), 'float');
  const rank = g.add(g.cast(g.reduce('Sum', likelier, 1), 'int64'), g.int(1));
  g.output(rank, 'int64', [null], 'rank');
  const surprise = g.mul(g.op('Exp', [logProbabilities]), logProbabilities);
  g.output(g.op('Neg', [g.reduce('Sum', surprise, 1)]), 'float', [null], 'entropy');
  const [best, tokens] = g.topK(logProbabilities, topK);
  g.output(tokens, 'int64', [null, null], 'topTokens');
  g.output(best, 'float', [null, null], 'topLogProbability');
  return g;
}

/** Log-probabilities alone, for many images and one text. Output: `logProbability` [B, N]. */
export function likelihoodGraph(model: ExplainedModel): Graph {
  const g = new Graph('likelihood');
  const inputs = declareInputs(g, model);
  const hidden = forward(g, model, inputs); // [B, N, C]
  const logits = linear(g, hidden, model.gpt2.head); // [B, N, V]
  const images = g.size(inputs.embedding, 0);
  const targets = g.unsqueeze(inputs.targets, 0, 2); // [1, N, 1]
  const each = g.expand(targets, g.concat([images, g.ints([1, 1])], 0)); // [B, N, 1]
  const own = g.gatherElements(g.logSoftmax(logits), each, 2);
  g.output(g.squeeze(own, 2), 'float', ['B', null], 'logProbability');
  return g;
}

/**
 * How far two stages' next-token distributions lie apart, position by position.
 * Inputs `hidden_0` [N, C] and `hidden_1` [N, C'], as `explainGraph` gives them. Outputs, all [N] and in nats:
 * `forward` KL(0 ‖ 1), `backward` KL(1 ‖ 0), `jensenShannon`.
 * @param stages the two heads, [V, C] and [V, C'], with their widths
 */
export function divergenceGraph(stages: readonly { head: Matrix; width: number }[]): Graph {
  const g = new Graph('divergence');
  const [p, q] = stages.map(({ head, width }, i) => {
    const hidden = g.input(`hidden_${i}`, 'float', ['N', width]);
    const logits = linear(g, hidden, head);
    return g.logSoftmax(logits); // [N, V]
  }) as [Value, Value];
  const kl = (from: Value, to: Value) => g.reduce('Sum', g.mul(g.op('Exp', [from]), g.sub(from, to)), 1);
  // log of the mean of both, without leaving the logarithm: max + log(1 + e^−|p − q|) − log 2
  const apart = g.op('Neg', [g.op('Abs', [g.sub(p, q)])]);
  const sum = g.op('Log', [g.add(g.op('Exp', [apart]), g.float(1))]);
  const mean = g.sub(g.add(g.op('Max', [p, q]), sum), g.float(Math.LN2));
  g.output(kl(p, q), 'float', ['N'], 'forward');
  g.output(kl(q, p), 'float', ['N'], 'backward');
  g.output(g.mul(g.add(kl(p, mean), kl(q, mean)), g.float(0.5)), 'float', ['N'], 'jensenShannon');
  return g;
}

export function declareInputs(g: Graph, model: ExplainedModel): ReadingInputs {
  return {
    embedding: g.input('embedding', 'float', ['B', model.embedding]),
    ids: g.input('ids', 'int64', [null]),
    rows: g.input('rows', 'int64', ['N']),
    targets: g.input('targets', 'int64', ['N']),
  };
}

/**
 * The pass itself.
 * @param onAttention is given each layer's weights [B, H, L, L], first layer first
 * @returns the final norm's output at the rows looked at, [B, N, C]
 */
export function forward(
  g: Graph,
  { sizes, prefixSlots, gpt2, ...model }: ExplainedModel,
  { embedding, ids, rows }: ReadingInputs,
  onAttention?: (weights: Value) => void,
): Value {
  const { width, heads } = sizes;
  const prefix = projector(g, embedding, model.projector, prefixSlots, width); // [B, P, C]
  const tokens = g.gather(g.weight(gpt2.tokenEmbedding), ids, 0); // [L − P, C]
  const each = g.expand(tokens, g.concat([g.size(embedding, 0), g.size(tokens, 0), g.ints([width])], 0));
  let x = g.concat([prefix, each], 1); // [B, L, C]
  const positions = g.range(g.size(x, 1)); // [L]
  x = g.add(x, g.gather(g.weight(gpt2.positionEmbedding), positions, 0));

  const later = g.op('Less', [g.unsqueeze(positions, 1), positions]); // [L, L]
  const mask = g.op('Where', [later, g.float(UNSEEN), g.float(0)]);
  for (const block of gpt2.blocks) x = explicitBlock(g, x, block, heads, width, mask, onAttention);
  return layerNorm(g, g.gather(x, rows, 1), gpt2.finalNorm, EPSILON);
}

/** x + attention(ln1 x), then x + mlp(ln2 x). x: [B, L, C] */
function explicitBlock(
  g: Graph,
  x: Value,
  block: Gpt2Block,
  heads: number,
  width: number,
  mask: Value,
  onAttention?: (weights: Value) => void,
): Value {
  const { qkv, out } = block.attention;
  const headSize = width / heads;
  const normed = layerNorm(g, x, block.ln1, EPSILON);
  const packed = g.add(conv1d(g, normed, qkv.weight), g.weight(qkv.bias)); // [B, L, 3C]
  const perHead = g.transpose(g.reshape(packed, [0, 0, 3, heads, headSize]), [2, 0, 3, 1, 4]); // [3, B, H, L, d]
  const [q, k, v] = g
    .ops('Split', [perHead], 3, { axis: { i: 0 }, num_outputs: { i: 3 } })
    .map(part => g.squeeze(part, 0)); // each [B, H, L, d]
  const scores = g.add(g.matmulTransposed(q!, k!, 1 / Math.sqrt(headSize)), mask); // [B, H, L, L]
  const weights = g.op('Softmax', [scores], { axis: { i: -1 } });
  onAttention?.(weights);
  const attended = g.reshape(g.transpose(g.matmul(weights, v!), [0, 2, 1, 3]), [0, 0, width]);
  x = g.add(x, g.add(conv1d(g, attended, out.weight), g.weight(out.bias)));

  const { up, down } = block.mlp;
  const hidden = g.microsoft('FastGelu', [
    conv1d(g, layerNorm(g, x, block.ln2, EPSILON), up.weight),
    g.weight(up.bias),
  ]); // [B, L, 4C], GELU with tanh ("gelu_new")
  return g.add(x, g.add(conv1d(g, hidden, down.weight), g.weight(down.bias)));
}
