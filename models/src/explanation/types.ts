/** What an explainer is asked, and what it answers. */
import type { ReleaseMode, StageId } from '../architecture/release.js';
import type { InputSpec } from '../image/preprocess.js';
import type { Provider } from '../runtime/providers.js';
import type { AttentionMap } from './attention.js';
import type { RawToken } from './reading.js';
import type { SaliencyMap, SaliencyMethod, Steering } from './saliency.js';

/** An image preprocessed for the one input there is, [3, size, size] row-major, or for each of the inputs. */
export type ImagePixels = Float32Array | { pixels: readonly Float32Array[] };

/** Which text, behind which prompt. */
export interface TextRequest {
  /**
   * The text, or the exact tokens of a caption (its text may also be written in other tokens). They are tokens of the
   * first stage asked for; a stage with another vocabulary reads their text.
   */
  text: string | readonly number[];
  /** Default: the prompt each stage was trained with. */
  prompt?: string | undefined;
  /** Whether end-of-text behind the text is looked at too, as its last token. */
  endOfText?: boolean | undefined;
}

export interface ExplainRequest extends TextRequest {
  /** Indices among the explainer's stages; default: all. */
  stages?: readonly number[] | undefined;
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
  /** Index among the explainer's stages. */
  stage: number;
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
  stages: [number, number];
  /** KL(first ‖ second), [N] */
  forward: Float32Array;
  /** KL(second ‖ first), [N] */
  backward: Float32Array;
  /** Between 0 and log 2, [N] */
  jensenShannon: Float32Array;
}

export interface Explanation {
  /** In the order of the stages asked for. */
  readings: Reading[];
  /** Every pair of them that reads the text as the same tokens of equally large vocabularies. */
  divergences: Divergence[];
}

export interface VisionRollout {
  /** Rows and columns. */
  grid: number;
  /** [grid, grid]: what reaches the pooled vector from each patch; with `classToken` they add up to 1. */
  values: Float32Array;
  /** The class token's own share; null where the tower has none. */
  classToken: number | null;
}

export type SaliencyRequest = TextRequest &
  SaliencyMethod & {
    /** Index among the explainer's stages. */
    stage: number;
    /** Words of the text, or indices of its tokens, whose likelihood is explained; default: the whole text. */
    target?: { words: readonly string[] } | { tokens: readonly number[] } | undefined;
    /** Covered images computed together; default 8. */
    batchSize?: number | undefined;
  };

export interface Saliency extends SaliencyMap {
  stage: number;
  /** Indices of the tokens whose likelihood is explained. */
  tokens: number[];
}

export interface ExplainedStage {
  id: StageId;
  label: string;
  file: string;
  /** The prompt this stage was trained with; null when its file does not say. */
  prompt: string | null;
  /** Index among the explainer's releases. */
  release: number;
  /** Index among the explainer's towers. */
  tower: number;
}

/** What is known of an explainer without calling it. */
export interface ExplainerDescription {
  readonly releases: readonly { readonly name: string; readonly mode: ReleaseMode }[];
  readonly stages: readonly ExplainedStage[];
  /** `input`: index among the inputs. */
  readonly towers: readonly { readonly name: string; readonly input: number }[];
  /** The distinct ways in which the towers want an image: pass them to `preprocess`. */
  readonly inputs: readonly InputSpec[];
  readonly provider: Provider;
}

/** Stages of releases, open to be asked why. Sessions are made when they are first needed. */
export interface Explainer extends ExplainerDescription {
  /**
   * Attention, likelihoods and alternatives of a text under each stage, and how far the stages lie apart: one
   * forward pass per stage.
   * @throws DermcapError naming what does not fit
   */
  explain(image: ImagePixels, request: ExplainRequest): Promise<Explanation>;
  /** Attention rollout of a vision tower (index; default the first): says nothing of any text. */
  visionRollout(image: ImagePixels, tower?: number): Promise<VisionRollout>;
  /** Which parts of the image a text's, or some of its words', likelihood under one stage rests on. */
  saliency(image: ImagePixels, request: SaliencyRequest, steering?: Steering): Promise<Saliency>;
  close(): Promise<void>;
}
