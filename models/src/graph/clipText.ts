import { Graph } from './builder.js';
import { encoderBlock, layerNorm, project, unitLength } from './encoder.js';
import type { ClipTextWeights, EncoderForm } from './weights.js';

/**
 * CLIP's text tower, open_clip's or transformers'.
 * Inputs `ids` [B, L] int64 and `pooled` [B] int64, the position of each row's end-of-text token: being causal, it does
 * not see the padding behind it. Output `embedding` [B, E], of unit length.
 */
export function clipTextGraph(
  weights: ClipTextWeights,
  { heads, embedding, ...form }: EncoderForm & { heads: number; embedding: number },
): Graph {
  const g = new Graph('clip-text');
  const ids = g.input('ids', 'int64', ['B', 'L']);
  const pooled = g.input('pooled', 'int64', ['B']);

  const positions = g.gather(g.weight(weights.positionEmbedding), g.range(g.size(ids, 1)), 0); // [L, D]
  let x = g.add(g.gather(g.weight(weights.tokenEmbedding), ids, 0), positions); // [B, L, D]
  for (const block of weights.blocks) x = encoderBlock(g, x, block, heads, form, { causal: true });

  x = g.op('GatherND', [x, g.unsqueeze(pooled, 1)], { batch_dims: { i: 1 } }); // [B, D]
  x = project(g, layerNorm(g, x, weights.finalNorm, form.epsilon), weights.head);
  g.output(unitLength(g, x), 'float', ['B', embedding], 'embedding');
  return g;
}
