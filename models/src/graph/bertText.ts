import { Graph } from './builder.js';
import type { Value } from './builder.js';
import { layerNorm, mlp, project, selfAttention, unitLength } from './encoder.js';
import type { BertTextWeights, EncoderForm, LayerNorm } from './weights.js';

/** BERT's pad token. */
const PADDING = 0;

/**
 * BERT as open_clip's HFTextEncoder runs it: the first token of the last layer, projected.
 * Input `ids` [B, L] int64, padded with 0, which is not attended to. Output `embedding` [B, E], of unit length.
 */
export function bertTextGraph(
  weights: BertTextWeights,
  { heads, embedding, ...form }: EncoderForm & { heads: number; embedding: number },
): Graph {
  const g = new Graph('bert-text');
  const ids = g.input('ids', 'int64', ['B', 'L']);
  const mask = g.cast(g.op('Not', [g.op('Equal', [ids, g.int(PADDING)])]), 'int32'); // [B, L]
  const norm = (y: Value, weight: LayerNorm) => layerNorm(g, y, weight, form.epsilon);

  const positions = g.gather(g.weight(weights.positionEmbedding), g.range(g.size(ids, 1)), 0); // [L, D]
  const type = g.gather(g.weight(weights.typeEmbedding), g.int(0), 0); // [D]
  const words = g.gather(g.weight(weights.tokenEmbedding), ids, 0); // [B, L, D]
  let x = norm(g.add(g.add(words, type), positions), weights.embeddingNorm);
  for (const block of weights.blocks) {
    x = norm(g.add(x, selfAttention(g, x, block.attention, heads, { mask })), block.norm1);
    x = norm(g.add(x, mlp(g, x, block.mlp, form.activation)), block.norm2);
  }

  x = g.gather(x, g.int(0), 1); // [B, D]
  weights.projection.forEach((head, i) => {
    if (i > 0) x = g.op('Gelu', [x], { approximate: { s: 'none' } });
    x = project(g, x, head);
  });
  g.output(unitLength(g, x), 'float', ['B', embedding], 'embedding');
  return g;
}
