/**
 * The façade of `@dermcap/models`: open a release and its vision tower, caption images.
 */
import type { StageId } from './architecture/release.js';

/** Decoding options under their Hugging Face meaning. `numBeams: 1` is greedy. */
export interface Decoding {
  numBeams: number;
  maxNewTokens: number;
  minNewTokens: number;
  /** 0 switches n-gram blocking off. */
  noRepeatNgramSize: number;
  repetitionPenalty: number;
  lengthPenalty: number;
  earlyStopping: boolean;
  /** Phrases that may not be generated; encoded without a leading space, as the reference does. */
  badWords: string[];
}

export type ProviderChoice = 'auto' | 'cpu' | 'webgpu' | 'cuda';

export interface CaptionerOptions {
  /** Folder with `best_stageA.pt`, `best_stageB.pt`, `final_captioner_*.pt`. */
  releaseDir: string;
  /** Folder with `open_clip_config.json` and its weights; default: `clip/` inside or beside the release. */
  clipDir?: string;
  stages: readonly StageId[];
  provider?: ProviderChoice;
  precision?: 'exact';
  threads?: number;
  /** Where computed weights (merged LoRA, widened fp16) and hashes are kept; default `~/.cache/dermcap`. */
  cacheDir?: string;
  onProgress?: (phase: string) => void;
}

export interface StageDescription {
  id: StageId;
  label: string;
  file: string;
  sha256: string;
  /** The prompt this stage was trained with. */
  prompt: string;
}

export interface StageCaption {
  stage: StageId;
  caption: string;
  tokens: number[];
  score: number | null;
  prompt: string;
}

/** An open release. One caller at a time: calls queue inside onnxruntime. */
export interface Captioner {
  readonly releaseName: string;
  readonly stages: readonly StageDescription[];
  readonly clip: { readonly name: string; readonly sha256: string };
  readonly provider: { readonly name: string; readonly reason: string };
  readonly precision: 'exact';
  /** What the vision tower wants: pass it to `preprocess`. */
  readonly input: {
    readonly size: number;
    readonly mean: readonly number[];
    readonly std: readonly number[];
  };
  /**
   * L2-normalised image embeddings.
   * @param pixels preprocessed images, each [3, size, size] row-major
   * @returns one embedding [D] per image
   */
  embed(pixels: readonly Float32Array[]): Promise<Float32Array[]>;
  /** Captions of every stage for each image: result[image][stage], stages in the order of `stages`. */
  caption(
    pixels: readonly Float32Array[],
    request?: { prompt?: string; decoding?: Partial<Decoding> },
  ): Promise<StageCaption[][]>;
  close(): Promise<void>;
}
