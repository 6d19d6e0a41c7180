/** What the vision and text transformers are made of: layer norms, attention, blocks that normalise first. */
import type { Graph, Value } from './builder.js';
import { conv1d, linear } from './linear.js';
import type {
  AttentionWeights,
  EncoderBlock,
  EncoderForm,
  LayerNorm,
  Linear,
  ProjectionHead,
} from './weights.js';

/** Which positions an attention sees: all, those before, or those of a mask. */
export interface AttentionScope {
  causal?: boolean;
  /** [B, L] int32: 1 where a position may be seen */
  mask?: Value;
}

/** Is given the weights [B, H, L, L] of an attention that sees all, which is computed by an explicit softmax then. */
export type OnAttention = (weights: Value) => void;

/** x + attention(norm1 x), then x + mlp(norm2 x). x: [B, L, D] */
export function encoderBlock(
  g: Graph,
  x: Value,
  block: EncoderBlock,
  heads: number,
  form: EncoderForm,
  scope: AttentionScope | OnAttention = {},
): Value {
  const scaled = (y: Value, scale: EncoderBlock['scale1']) => (scale ? g.mul(y, g.weight(scale)) : y);
  const normed = layerNorm(g, x, block.norm1, form.epsilon);
  const attended =
    typeof scope === 'function'
      ? explicitAttention(g, normed, block.attention, heads, scope)
      : selfAttention(g, normed, block.attention, heads, scope);
  x = g.add(x, scaled(attended, block.scale1));
  const hidden = mlp(g, layerNorm(g, x, block.norm2, form.epsilon), block.mlp, form.activation);
  return g.add(x, scaled(hidden, block.scale2));
}

/** softmax(q kᵀ / √d) v and the layer behind it. x: [B, L, D] */
export function selfAttention(
  g: Graph,
  x: Value,
  weights: AttentionWeights,
  heads: number,
  { causal = false, mask = '' }: AttentionScope = {},
): Value {
  const inputs = [...queriesKeysValues(g, x, weights), ...(mask ? ['', mask] : [])];
  const attended = g.microsoft('MultiHeadAttention', inputs, {
    num_heads: { i: heads },
    ...(causal ? { unidirectional: { i: 1 } } : {}),
  });
  return affine(g, attended, weights.out);
}

/** `selfAttention` over all positions, whose weights can be looked at. */
function explicitAttention(
  g: Graph,
  x: Value,
  weights: AttentionWeights,
  heads: number,
  onAttention: OnAttention,
): Value {
  const width = weights.out.bias.shape[0]!;
  const perHead = (packed: Value) =>
    g.transpose(g.reshape(packed, [0, 0, heads, width / heads]), [0, 2, 1, 3]);
  const [q, k, v] = queriesKeysValues(g, x, weights).map(perHead); // each [B, H, L, d]
  const scores = g.matmulTransposed(q!, k!, 1 / Math.sqrt(width / heads));
  const attention = g.op('Softmax', [scores], { axis: { i: -1 } }); // [B, H, L, L]
  onAttention(attention);
  const attended = g.reshape(g.transpose(g.matmul(attention, v!), [0, 2, 1, 3]), [0, 0, width]);
  return affine(g, attended, weights.out);
}

/** Each [B, L, D]. */
export function queriesKeysValues(
  g: Graph,
  x: Value,
  weights: AttentionWeights,
): [query: Value, key: Value, value: Value] {
  if (!('qkv' in weights))
    return [affine(g, x, weights.query), affine(g, x, weights.key), affine(g, x, weights.value)];
  const packed = affine(g, x, weights.qkv); // [B, L, 3D]
  return g.ops('Split', [packed], 3, { axis: { i: -1 }, num_outputs: { i: 3 } }) as [Value, Value, Value];
}

/** down(activation(up x)) */
export function mlp(
  g: Graph,
  x: Value,
  { up, down }: { up: Linear; down: Linear },
  activation: EncoderForm['activation'],
): Value {
  const hidden = linear(g, x, up.weight);
  return affine(g, activate(g, hidden, g.weight(up.bias), activation), down);
}

function activate(g: Graph, x: Value, bias: Value, activation: EncoderForm['activation']): Value {
  if (activation === 'gelu') return g.microsoft('BiasGelu', [x, bias]);
  if (activation === 'gelu-tanh') return g.microsoft('FastGelu', [x, bias]);
  if (activation === 'relu') return g.op('Relu', [g.add(x, bias)]);
  return g.microsoft('QuickGelu', [g.add(x, bias)], { alpha: { f: 1.702 } }); // x · sigmoid(1.702 x)
}

export function affine(g: Graph, x: Value, { weight, bias }: Linear): Value {
  return g.add(linear(g, x, weight), g.weight(bias));
}

export function project(g: Graph, x: Value, { layout, weight }: ProjectionHead): Value {
  return layout === 'out-in' ? linear(g, x, weight) : conv1d(g, x, weight);
}

export function layerNorm(g: Graph, x: Value, { weight, bias }: LayerNorm, epsilon: number): Value {
  return g.op('LayerNormalization', [x, g.weight(weight), g.weight(bias)], {
    axis: { i: -1 },
    epsilon: { f: epsilon },
  });
}

/** Rows of unit length. x: [B, E] */
export function unitLength(g: Graph, x: Value): Value {
  return g.op('LpNormalization', [x], { axis: { i: -1 }, p: { i: 2 } });
}
