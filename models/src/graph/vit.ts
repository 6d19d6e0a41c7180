import { Graph } from './builder.js';
import type { Value } from './builder.js';
import { encoderBlock, layerNorm, project, unitLength } from './encoder.js';
import type { VitForm, VitSizes, VitWeights } from './weights.js';

/**
 * A vision transformer, whichever library its tower comes from: timm's inside open_clip's TimmModel, open_clip's own,
 * transformers' CLIPModel. They differ in what is there and in the form, not in the order.
 * Input `pixels` [B, 3, S, S]. Outputs `features` [B, E], what `encode_image` gives, and `embedding` [B, E], the same
 * of unit length.
 */
export function vitGraph(
  weights: VitWeights,
  sizes: VitSizes,
  form: VitForm,
  /** Set where MultiHeadAttention computes wrong or is missing (decision 010). */
  explicitAttention = false,
): Graph {
  const { imageSize, heads, embedding } = sizes;
  const g = new Graph('vit');
  const pixels = g.input('pixels', 'float', ['B', 3, imageSize, imageSize]);

  let x = tokens(g, pixels, weights, sizes); // [B, L, D]
  if (weights.normPre) x = layerNorm(g, x, weights.normPre, form.epsilon);
  const scope = explicitAttention ? () => undefined : {};
  for (const block of weights.blocks) x = encoderBlock(g, x, block, heads, form, scope);

  // Normalising each token and taking one of them is taking it and normalising.
  if (form.pooling === 'token') x = g.gather(x, g.int(0), 1); // [B, D]
  if (weights.norm) x = layerNorm(g, x, weights.norm, form.epsilon);
  if (form.pooling === 'mean') {
    const patches = weights.classToken ? g.slice(x, 1, Number.MAX_SAFE_INTEGER, 1) : x;
    x = g.op('ReduceMean', [patches, g.ints([1])], { keepdims: { i: 0 } }); // [B, D]
  }
  if (weights.pooledNorm) x = layerNorm(g, x, weights.pooledNorm, form.epsilon);

  const features = project(g, x, weights.head); // [B, E]
  g.output(features, 'float', ['B', embedding], 'features');
  g.output(unitLength(g, features), 'float', ['B', embedding], 'embedding');
  return g;
}

/**
 * The same tower on one image, read for its attention. Input `pixels` [1, 3, S, S].
 * Outputs: `meanAttention` [layers, L, L] over heads (L = class token, where there is one, and patches), `activations`
 * [L, D]: the tokens as the last block's attention reads them, the last that the class token sees of the patches.
 */
export function vitAttentionGraph(weights: VitWeights, sizes: VitSizes, form: VitForm): Graph {
  const { imageSize, heads, width } = sizes;
  const g = new Graph('vit-attention');
  const pixels = g.input('pixels', 'float', [1, 3, imageSize, imageSize]);

  let x = tokens(g, pixels, weights, sizes); // [1, L, D]
  if (weights.normPre) x = layerNorm(g, x, weights.normPre, form.epsilon);
  const means: Value[] = [];
  let read = x;
  for (const block of weights.blocks) {
    read = layerNorm(g, x, block.norm1, form.epsilon);
    x = encoderBlock(g, x, block, heads, form, attention =>
      means.push(g.op('ReduceMean', [attention, g.ints([1])], { keepdims: { i: 0 } })),
    );
  }
  g.output(g.concat(means, 0), 'float', [weights.blocks.length, null, null], 'meanAttention');
  g.output(g.squeeze(read, 0), 'float', [null, width], 'activations');
  return g;
}

/** Patches as tokens behind the class token, at their positions: [B, L, D] */
function tokens(
  g: Graph,
  pixels: Value,
  weights: VitWeights,
  { imageSize, patchSize, width }: VitSizes,
): Value {
  const { weight, bias } = weights.patch;
  const patches = Math.floor(imageSize / patchSize) ** 2;
  const convolved = g.op('Conv', [pixels, g.weight(weight), ...(bias ? [g.weight(bias)] : [])], {
    kernel_shape: { ints: [patchSize, patchSize] },
    strides: { ints: [patchSize, patchSize] },
  }); // [B, D, S/p, S/p]
  let x = g.transpose(g.reshape(convolved, [0, width, patches]), [0, 2, 1]); // [B, N, D]
  const positions = g.weight(weights.positionEmbedding);
  const forPatches = weights.positionEmbedding.shape.at(-2) === patches;
  if (forPatches) x = g.add(x, positions);
  if (weights.classToken) {
    const shape = g.concat([g.size(pixels, 0), g.ints([1, width])], 0);
    x = g.concat([g.expand(g.weight(weights.classToken), shape), x], 1); // [B, 1 + N, D]
  }
  return forPatches ? x : g.add(x, positions);
}
