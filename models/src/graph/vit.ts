import { Graph } from './builder.js';
import type { Value } from './builder.js';
import { linear } from './linear.js';
import type { LayerNorm, VitBlock, VitSizes, VitWeights } from './weights.js';

/** timm's `LayerNorm` default, unlike PyTorch's 1e-5. */
const EPSILON = 1e-6;

/**
 * timm's VisionTransformer as open_clip runs it (class-token pooling, linear head without bias), and the
 * captioner's L2 normalisation behind it.
 * Input `pixels` [B, 3, S, S]; output `embedding` [B, E], of unit length.
 */
export function vitGraph(weights: VitWeights, sizes: VitSizes): Graph {
  const { imageSize, patchSize, width, heads, embedding } = sizes;
  const g = new Graph('vit');
  const pixels = g.input('pixels', 'float', ['B', 3, imageSize, imageSize]);

  let x = g.op('Conv', [pixels, g.weight(weights.patch.weight), g.weight(weights.patch.bias)], {
    kernel_shape: { ints: [patchSize, patchSize] },
    strides: { ints: [patchSize, patchSize] },
  }); // [B, D, S/p, S/p]
  const patches = (imageSize / patchSize) ** 2;
  x = g.transpose(g.reshape(x, [0, width, patches]), [0, 2, 1]); // [B, N, D]
  const classToken = g.expand(
    g.weight(weights.classToken),
    g.concat([g.size(pixels, 0), g.ints([1, width])], 0),
  );
  x = g.add(g.concat([classToken, x], 1), g.weight(weights.positionEmbedding)); // [B, 1 + N, D]

  for (const block of weights.blocks) x = encoderBlock(g, x, block, heads);

  x = g.gather(x, g.int(0), 1); // [B, D]: the class token
  x = layerNorm(g, x, weights.norm);
  x = linear(g, x, weights.head); // [B, E]
  x = g.op('LpNormalization', [x], { axis: { i: -1 }, p: { i: 2 } });
  g.output(x, 'float', ['B', embedding], 'embedding');
  return g;
}

/** x + attention(norm1 x), then x + mlp(norm2 x). x: [B, L, D] */
function encoderBlock(g: Graph, x: Value, block: VitBlock, heads: number): Value {
  const { qkv, out } = block.attention;
  const normed = layerNorm(g, x, block.norm1);
  const packed = g.add(linear(g, normed, qkv.weight), g.weight(qkv.bias)); // [B, L, 3D]
  const [q, k, v] = g.ops('Split', [packed], 3, { axis: { i: -1 }, num_outputs: { i: 3 } });
  const attended = g.microsoft('MultiHeadAttention', [q!, k!, v!], { num_heads: { i: heads } });
  x = g.add(x, g.add(linear(g, attended, out.weight), g.weight(out.bias)));

  const { up, down } = block.mlp;
  const hidden = g.microsoft('BiasGelu', [
    linear(g, layerNorm(g, x, block.norm2), up.weight),
    g.weight(up.bias),
  ]); // [B, L, 4D], GELU with erf
  return g.add(x, g.add(linear(g, hidden, down.weight), g.weight(down.bias)));
}

function layerNorm(g: Graph, x: Value, { weight, bias }: LayerNorm): Value {
  return g.op('LayerNormalization', [x, g.weight(weight), g.weight(bias)], {
    axis: { i: -1 },
    epsilon: { f: EPSILON },
  });
}
