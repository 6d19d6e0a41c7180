/**
 * What the graph builders need of a model: its tensors as fp32 weights in files, and its sizes.
 * `architecture` decides what a checkpoint is; `runtime/materialise` makes its tensors ready; nothing here reads files.
 */
import type { Weight } from './builder.js';

/**
 * A matrix in int8, whatever way round its original lay: element [i, o] is (values[i, o] − zero point) · scales[o],
 * with zero point 0 for int8 and 128 for uint8. Made by `runtime/quantise.ts`.
 */
export interface Int8Matrix {
  readonly precision: 'int8';
  /** [in, out] */
  readonly values: Weight;
  /** [out] */
  readonly scales: Weight;
}

/** What a matrix product multiplies by: fp32 as stored, or a twin in another precision. */
export type Matrix = Weight | Int8Matrix;

/** y = x @ weight + bias, weight [in, out] (GPT-2's Conv1D). */
export interface Conv1d {
  weight: Matrix;
  bias: Weight;
}

/** y = x @ weightᵀ + bias, weight [out, in] (PyTorch's Linear). */
export interface Linear {
  weight: Matrix;
  bias: Weight;
}

export interface LayerNorm {
  weight: Weight;
  bias: Weight;
}

export interface Gpt2Block {
  ln1: LayerNorm;
  attention: { qkv: Conv1d; out: Conv1d };
  ln2: LayerNorm;
  mlp: { up: Conv1d; down: Conv1d };
}

export interface Gpt2Weights {
  /** [vocab, C] */
  tokenEmbedding: Weight;
  /** [positions, C] */
  positionEmbedding: Weight;
  blocks: readonly Gpt2Block[];
  finalNorm: LayerNorm;
  /** [vocab, C]; the token embedding again where the head is tied. */
  head: Matrix;
}

export interface Gpt2Sizes {
  width: number;
  heads: number;
  vocabulary: number;
  positions: number;
  endOfText: number;
}

export interface ProjectorWeights {
  fc1: Linear;
  fc2: Linear;
  norm: LayerNorm;
  alpha: Weight;
}

export interface VitBlock {
  norm1: LayerNorm;
  attention: { qkv: Linear; out: Linear };
  norm2: LayerNorm;
  mlp: { up: Linear; down: Linear };
}

export interface VitWeights {
  /** [D, 3, patch, patch] */
  patch: { weight: Weight; bias: Weight };
  /** [1, 1, D] */
  classToken: Weight;
  /** [1, 1 + patches, D] */
  positionEmbedding: Weight;
  blocks: readonly VitBlock[];
  norm: LayerNorm;
  /** [E, D] */
  head: Matrix;
}

export interface VitSizes {
  imageSize: number;
  patchSize: number;
  width: number;
  heads: number;
  embedding: number;
}
