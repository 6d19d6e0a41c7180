import { Graph } from './builder.js';
import { encoderBlock, layerNorm, project, unitLength } from './encoder.js';
import type { ClipTextWeights, EncoderForm } from './weights.js';

/**
 * CLIP's text tower, open_clip's or transformers'.
 * Input `ids` [B, L] int64, padded with 0; output `embedding` [B, E], of unit length. Pooled is the first token with
 * the id `endOfText` (null: with the row's largest id), which, being causal, does not see the padding behind it.
 */
export function clipTextGraph(
  weights: ClipTextWeights,
  { heads, embedding, ...form }: EncoderForm & { heads: number; embedding: number },
  endOfText: number | null,
): Graph {
  const g = new Graph('clip-text');
  const ids = g.input('ids', 'int64', ['B', 'L']);

  const positions = g.gather(g.weight(weights.positionEmbedding), g.range(g.size(ids, 1)), 0); // [L, D]
  let x = g.add(g.gather(g.weight(weights.tokenEmbedding), ids, 0), positions); // [B, L, D]
  for (const block of weights.blocks) x = encoderBlock(g, x, block, heads, form, { causal: true });

  const score = g.cast(endOfText === null ? ids : g.op('Equal', [ids, g.int(endOfText)]), 'int32'); // [B, L]
  const pooled = g.op('ArgMax', [score], { axis: { i: 1 }, keepdims: { i: 1 } }); // [B, 1]
  x = g.op('GatherND', [x, pooled], { batch_dims: { i: 1 } }); // [B, D]
  x = project(g, layerNorm(g, x, weights.finalNorm, form.epsilon), weights.head);
  g.output(unitLength(g, x), 'float', ['B', embedding], 'embedding');
  return g;
}
