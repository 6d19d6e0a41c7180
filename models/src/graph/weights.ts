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

/** What turns an image embedding into the language model's prefix, by the family it comes from. */
export type ProjectorWeights = PrefixProjector | ClipCapMlp | ClipCapLinear | ClipCapTransformer;

/** This family's projector; takes unit-length embeddings. */
export interface PrefixProjector {
  kind: 'prefix';
  fc1: Linear;
  fc2: Linear;
  norm: LayerNorm;
  /** [] */
  alpha: Weight;
}

/** ClipCap's MLP: two layers with tanh between. */
export interface ClipCapMlp {
  kind: 'clipcap-mlp';
  up: Linear;
  down: Linear;
}

/** ClipCap's one layer, for prefixes of more than ten slots. */
export interface ClipCapLinear {
  kind: 'clipcap-linear';
  linear: Linear;
}

/** ClipCap's transformer over the embedding's slots and learned ones. */
export interface ClipCapTransformer {
  kind: 'clipcap-transformer';
  /** Slots that the embedding becomes, before the learned ones. */
  clipSlots: number;
  /** [clip slots · C, D] */
  linear: Linear;
  /** [slots, C] */
  slots: Weight;
  blocks: readonly MapperBlock[];
}

export interface MapperBlock {
  norm1: LayerNorm;
  /** [C, C] and [2C, C], without bias */
  queries: Matrix;
  keysValues: Matrix;
  out: Linear;
  norm2: LayerNorm;
  mlp: { up: Linear; down: Linear };
}

/** Queries, keys and values from one packed layer or from one each. */
export type AttentionWeights = ({ qkv: Linear } | { query: Linear; key: Linear; value: Linear }) & {
  out: Linear;
};

/** A block of a vision or text transformer that normalises before each sub-layer. */
export interface EncoderBlock {
  norm1: LayerNorm;
  attention: AttentionWeights;
  /** [D], layer scale behind the attention. */
  scale1: Weight | null;
  norm2: LayerNorm;
  mlp: { up: Linear; down: Linear };
  /** [D], layer scale behind the MLP. */
  scale2: Weight | null;
}

/** The last step to the space of embeddings, as PyTorch's `Linear` stores it or as a plain matrix. */
export interface ProjectionHead {
  layout: 'out-in' | 'in-out';
  weight: Matrix;
}

/** What an encoder computes that no tensor shows. */
export interface EncoderForm {
  /** Of its layer norms. */
  epsilon: number;
  activation: 'gelu' | 'gelu-tanh' | 'quick-gelu' | 'relu';
}

export interface VitWeights {
  /** [D, 3, patch, patch] and [D] */
  patch: { weight: Weight; bias: Weight | null };
  /** D values */
  classToken: Weight | null;
  /** [tokens, D]: for every token, or for the patches alone. */
  positionEmbedding: Weight;
  normPre: LayerNorm | null;
  blocks: readonly EncoderBlock[];
  /** Before pooling. */
  norm: LayerNorm | null;
  /** Behind pooling. */
  pooledNorm: LayerNorm | null;
  head: ProjectionHead;
}

export interface VitForm extends EncoderForm {
  /** The class token, or the mean of the patches. */
  pooling: 'token' | 'mean';
}

export interface VitSizes {
  imageSize: number;
  patchSize: number;
  width: number;
  heads: number;
  embedding: number;
}

/** CLIP's text transformer: causal, pooled at the end-of-text token. */
export interface ClipTextWeights {
  /** [vocab, D] */
  tokenEmbedding: Weight;
  /** [context, D] */
  positionEmbedding: Weight;
  blocks: readonly EncoderBlock[];
  finalNorm: LayerNorm;
  head: ProjectionHead;
}

export interface BertBlock {
  attention: AttentionWeights;
  norm1: LayerNorm;
  mlp: { up: Linear; down: Linear };
  norm2: LayerNorm;
}

/** BERT with open_clip's projection behind its first token. */
export interface BertTextWeights {
  /** [vocab, D] */
  tokenEmbedding: Weight;
  /** [positions, D] */
  positionEmbedding: Weight;
  /** [2, D]; only the first row is used. */
  typeEmbedding: Weight;
  embeddingNorm: LayerNorm;
  blocks: readonly BertBlock[];
  /** One matrix, or two with GELU between. */
  projection: readonly ProjectionHead[];
}
