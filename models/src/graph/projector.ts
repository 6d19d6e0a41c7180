/** From an image embedding to the language model's prefix: this family's projector and ClipCap's three mappers. */
import type { Graph, Value } from './builder.js';
import { affine, layerNorm, mlp } from './encoder.js';
import { linear } from './linear.js';
import type {
  ClipCapMlp,
  ClipCapTransformer,
  MapperBlock,
  PrefixProjector,
  ProjectorWeights,
} from './weights.js';

/** PyTorch's default. */
const EPSILON = 1e-5;

/** Heads of ClipCap's transformer mapper, a constant of its code. */
const MAPPER_HEADS = 8;

/**
 * @param embedding [B, D]: of unit length for this family, as the tower gives it for ClipCap
 * @returns [B, slots, C]
 */
export function projector(
  g: Graph,
  embedding: Value,
  weights: ProjectorWeights,
  slots: number,
  width: number,
): Value {
  if (weights.kind === 'prefix') return prefixProjector(g, embedding, weights, slots, width);
  if (weights.kind === 'clipcap-transformer') return transformerMapper(g, embedding, weights, slots, width);
  const y =
    weights.kind === 'clipcap-mlp' ? mlpMapper(g, embedding, weights) : affine(g, embedding, weights.linear);
  return g.reshape(y, [-1, slots, width]); // [B, slots, C]
}

/** Source: the trainer's PrefixProjector (GELU with erf, LayerNorm per slot, learned scale). */
function prefixProjector(
  g: Graph,
  embedding: Value,
  { fc1, fc2, norm, alpha }: PrefixProjector,
  slots: number,
  width: number,
): Value {
  let y = affine(g, embedding, fc1); // [B, hidden]
  y = g.op('Gelu', [y], { approximate: { s: 'none' } });
  y = g.reshape(affine(g, y, fc2), [-1, slots, width]); // [B, slots, C]
  return g.mul(layerNorm(g, y, norm, EPSILON), g.weight(alpha));
}

/** Source: ClipCap's `MLP` (Mokady et al. 2021, https://github.com/rmokady/CLIP_prefix_caption, `train.py`). */
function mlpMapper(g: Graph, embedding: Value, { up, down }: ClipCapMlp): Value {
  return affine(g, g.op('Tanh', [affine(g, embedding, up)]), down); // [B, slots·C]
}

/**
 * Source: ClipCap's `TransformerMapper`. The embedding becomes some slots, learned ones follow, all attend to all; what
 * became of the learned ones is the prefix.
 */
function transformerMapper(
  g: Graph,
  embedding: Value,
  weights: ClipCapTransformer,
  slots: number,
  width: number,
): Value {
  const { clipSlots } = weights;
  const own = g.reshape(affine(g, embedding, weights.linear), [-1, clipSlots, width]); // [B, clip slots, C]
  const learned = g.expand(
    g.weight(weights.slots),
    g.concat([g.size(embedding, 0), g.ints([slots, width])], 0),
  );
  let x = g.concat([own, learned], 1); // [B, clip slots + slots, C]
  for (const block of weights.blocks) x = mapperBlock(g, x, block);
  return g.slice(x, clipSlots, clipSlots + slots, 1);
}

/** x + attention(norm1 x), then x + mlp(norm2 x), with ReLU. */
function mapperBlock(g: Graph, x: Value, block: MapperBlock): Value {
  const normed = layerNorm(g, x, block.norm1, EPSILON);
  const query = linear(g, normed, block.queries);
  const packed = linear(g, normed, block.keysValues); // [B, L, 2C]
  const [key, value] = g.ops('Split', [packed], 2, { axis: { i: -1 }, num_outputs: { i: 2 } });
  const attended = g.microsoft('MultiHeadAttention', [query, key!, value!], {
    num_heads: { i: MAPPER_HEADS },
  });
  x = g.add(x, affine(g, attended, block.out));
  return g.add(x, mlp(g, layerNorm(g, x, block.norm2, EPSILON), block.mlp, 'relu'));
}
