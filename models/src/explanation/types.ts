/** What an explainer is asked, and what it answers. */
import type { StageId } from '../architecture/release.js';
import type { InputSpec } from '../image/preprocess.js';
import type { Provider } from '../runtime/session.js';
import type { AttentionMap } from './attention.js';
import type { RawToken } from './reading.js';
import type { SaliencyMap, SaliencyMethod, Steering } from './saliency.js';

/** Which text, behind which prompt. */
export interface TextRequest {
  /** The text, or the exact tokens of a caption: its text may also be written in other tokens. */
  text: string | readonly number[];
  /** Default: the prompt the stage was trained with. */
  prompt?: string | undefined;
  /** Whether end-of-text behind the text is looked at too, as its last token. */
  endOfText?: boolean | undefined;
}

export interface ExplainRequest extends TextRequest {
  /** Default: all that are open. */
  stages?: readonly StageId[] | undefined;
  /** How many of the likeliest tokens are named at each position; default 5. */
  topK?: number | undefined;
}

export interface TokenText {
  id: number;
  /** What it adds to the text. */
  text: string;
}

export interface TokenReading extends RawToken, TokenText {
  alternatives: (TokenText & { logProbability: number })[];
}

/** A text as one stage reads it. Row i of every array belongs to the text's token i. */
export interface Reading {
  stage: StageId;
  prompt: string;
  promptTokens: TokenText[];
  tokens: TokenReading[];
  /** Sum over the tokens, in nats. */
  logLikelihood: number;
  attention: AttentionMap;
  /** [N, L]: see `attentionRollout` */
  rollout: Float32Array;
}

/** How far two stages' next-token distributions lie apart where each token is predicted, in nats. */
export interface Divergence {
  stages: [StageId, StageId];
  /** KL(first ‖ second), [N] */
  forward: Float32Array;
  /** KL(second ‖ first), [N] */
  backward: Float32Array;
  /** Between 0 and log 2, [N] */
  jensenShannon: Float32Array;
}

export interface Explanation {
  /** Token ids of the text. */
  tokens: number[];
  /** In the order of the stages asked for. */
  readings: Reading[];
  /** Every pair of them. */
  divergences: Divergence[];
}

export interface VisionRollout {
  grid: number;
  /** [grid, grid]: what reaches the pooled vector from each patch; with `classToken` they add up to 1. */
  values: Float32Array;
  /** The class token's own share; null where the tower has none. */
  classToken: number | null;
}

export type SaliencyRequest = TextRequest &
  SaliencyMethod & {
    stage: StageId;
    /** Words of the text, or indices of its tokens, whose likelihood is explained; default: the whole text. */
    target?: { words: readonly string[] } | { tokens: readonly number[] } | undefined;
    /** Covered images computed together; default 8. */
    batchSize?: number | undefined;
  };

export interface Saliency extends SaliencyMap {
  stage: StageId;
  /** Indices of the tokens whose likelihood is explained. */
  tokens: number[];
}

/** Stages of a release, open to be asked why. Sessions are made when they are first needed. */
export interface Explainer {
  readonly releaseName: string;
  readonly stages: readonly { id: StageId; label: string; file: string; prompt: string | null }[];
  readonly provider: Provider;
  /** What the vision tower wants: pass it to `preprocess`. */
  readonly input: InputSpec;
  /**
   * Attention, likelihoods and alternatives of a text under each stage, and how far the stages lie apart: one
   * forward pass per stage.
   * @param pixels preprocessed image, [3, size, size] row-major
   * @throws DermcapError naming what does not fit
   */
  explain(pixels: Float32Array, request: ExplainRequest): Promise<Explanation>;
  /** Attention rollout of the vision tower: says nothing of any text. */
  visionRollout(pixels: Float32Array): Promise<VisionRollout>;
  /** Which parts of the image a text's, or some of its words', likelihood under one stage rests on. */
  saliency(pixels: Float32Array, request: SaliencyRequest, steering?: Steering): Promise<Saliency>;
  close(): Promise<void>;
}
