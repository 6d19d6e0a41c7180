import type { Graph, Value } from './builder.js';
import { linear } from './linear.js';
import type { ProjectorWeights } from './weights.js';

/**
 * The projector: one image embedding becomes the language model's prefix.
 * Source: the trainer's PrefixProjector (GELU with erf, LayerNorm eps 1e-5 per slot, learned scale).
 * @param embedding [B, D], L2-normalised
 * @returns [B, slots, C]
 */
export function projector(
  g: Graph,
  embedding: Value,
  weights: ProjectorWeights,
  slots: number,
  width: number,
): Value {
  const { fc1, fc2, norm, alpha } = weights;
  let y = g.add(linear(g, embedding, fc1.weight), g.weight(fc1.bias)); // [B, hidden]
  y = g.op('Gelu', [y], { approximate: { s: 'none' } });
  y = g.add(linear(g, y, fc2.weight), g.weight(fc2.bias)); // [B, slots·C]
  y = g.reshape(y, [-1, slots, width]); // [B, slots, C]
  y = g.op('LayerNormalization', [y, g.weight(norm.weight), g.weight(norm.bias)], {
    axis: { i: -1 },
    epsilon: { f: 1e-5 },
  });
  return g.mul(y, g.weight(alpha));
}
