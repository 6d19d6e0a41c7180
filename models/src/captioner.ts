/**
 * The façade of `@dermcap/models`: open releases with their vision towers, caption images.
 */
import type { ReleaseMode, StageId } from './architecture/release.js';
import type { Decoding } from './decoding.js';
import { captionGraph } from './graph/caption.js';
import { vitGraph } from './graph/vit.js';
import type { VitWeights } from './graph/weights.js';
import { Sessions } from './explanation/sessions.js';
import type { InputSpec } from './image/preprocess.js';
import { OnnxCaptioner } from './onnxCaptioner.js';
import type { OpenGroup } from './onnxCaptioner.js';
import { openAll } from './opening.js';
import { defaultCacheDir } from './runtime/cache.js';
import { CacheUse } from './runtime/cacheUse.js';
import { hashFiles } from './runtime/hashing.js';
import { loader } from './runtime/loading.js';
import type { Precision } from './runtime/loading.js';
import { captionModel } from './runtime/models.js';
import { chooseProvider } from './runtime/providers.js';
import type { ProviderChoice } from './runtime/providers.js';
import { StageScorer } from './runtime/scoring.js';
import { createSession } from './runtime/session.js';
import { groupStages } from './runtime/stageGroups.js';
import { defaultThreads } from './runtime/threads.js';

/** One of the releases to open together. */
export interface ReleaseRequest {
  /** Folder with `best_stageA.pt`, `best_stageB.pt`, `final_captioner_*.pt`, or one checkpoint's path. */
  dir: string;
  /** Folder of the vision tower; default: `clip/` inside or beside the release. */
  clipDir?: string | undefined;
  /** Default: all the release has. */
  stages?: readonly StageId[] | undefined;
  /** `inference-min` is what the published script computes, which drops LoRA; default `faithful`. */
  mode?: ReleaseMode | undefined;
}

export interface CaptionerOptions {
  releases: readonly ReleaseRequest[];
  provider?: ProviderChoice | undefined;
  /** Which CUDA device, counted from 0. */
  device?: number | undefined;
  /** `exact` is fp32; `fast` multiplies by int8 twins of the large matrices. Default `exact`. */
  precision?: Precision | undefined;
  /** Threads of onnxruntime; default: one a core (`runtime/threads.ts`). */
  threads?: number | undefined;
  /** Where computed weights (merged LoRA, int8 twins) and hashes are kept; default `~/.cache/dermcap`. */
  cacheDir?: string | undefined;
  /** Called with what is being done, in words. */
  onProgress?: ((phase: string) => void) | undefined;
}

export interface StageDescription {
  id: StageId;
  label: string;
  file: string;
  sha256: string;
  /** The prompt this stage was trained with; null when its file does not say. */
  prompt: string | null;
  /** Index among the captioner's releases. */
  release: number;
  /** Index among the captioner's towers. */
  tower: number;
}

export interface TowerDescription {
  name: string;
  sha256: string;
  /** Index among the captioner's inputs. */
  input: number;
}

export interface StageCaption {
  stage: StageId;
  caption: string;
  /** Generated token ids without the end-of-text token; the token of `stopText` is in it. */
  tokens: number[];
  /** Length-normalised sum of log-probabilities (beam search); null with one beam. */
  score: number | null;
  prompt: string;
}

/** A given text's tokens, each behind those before it. */
export interface TokenScores {
  /** In nats. */
  logProbabilities: number[];
  /** The most likely token in the place of each. */
  likeliest: number[];
}

/**
 * One image: preprocessed pixels [3, size, size] row-major, for the one input there is or for each of the
 * captioner's inputs; or the features its towers gave for it before.
 */
export type ImageInput =
  Float32Array | { pixels: readonly Float32Array[] } | { features: readonly Float32Array[] };

export interface CaptionRequest {
  /** For every stage; default: each stage the one it was trained with. */
  prompt?: string | undefined;
  decoding?: Partial<Decoding> | undefined;
  /**
   * With `doSample`: 64 bits for each image that, with the decoding's seed and the stage's checkpoint, decide what is
   * drawn. Default: taken from the image's pixels, or its features where these are given, so that a caption does not
   * depend on its batch. Who gives sometimes pixels and sometimes features must say.
   */
  imageSeeds?: readonly bigint[] | undefined;
}

/** Open releases. Calls run one after the other. */
export interface Captioner {
  readonly releases: readonly { readonly name: string; readonly mode: ReleaseMode }[];
  readonly stages: readonly StageDescription[];
  readonly towers: readonly TowerDescription[];
  /** The distinct ways in which the towers want an image: pass them to `preprocess`. */
  readonly inputs: readonly InputSpec[];
  readonly provider: { readonly name: string; readonly reason: string };
  readonly precision: Precision;
  /**
   * What each tower makes of each image: features[image][tower], not normalised. Kept by the caller, they can stand
   * in for the pixels: they depend on the image, the tower and the preprocessing alone.
   */
  features(images: readonly ImageInput[]): Promise<Float32Array[][]>;
  /**
   * Image embeddings of one tower, of unit length.
   * @returns one embedding [D] per image
   */
  embed(images: readonly ImageInput[], tower?: number): Promise<Float32Array[]>;
  /**
   * Captions of every stage for each image: result[image][stage], stages in the order of `stages`.
   * @throws DermcapError `decoding-invalid`, `prompt-unknown`, `prompt-too-long`, `tokenizer-mismatch`
   */
  caption(images: readonly ImageInput[], request?: CaptionRequest): Promise<StageCaption[][]>;
  /**
   * Scores given tokens under a stage (its index), with the weights that captions are made with.
   * @throws DermcapError `text-empty`, `text-too-long`, `tokenizer-mismatch`, `prompt-unknown`
   */
  score(image: ImageInput, stage: number, tokens: readonly number[], prompt?: string): Promise<TokenScores>;
  close(): Promise<void>;
}

/** What is known of a captioner without calling it. */
export type CaptionerDescription = Pick<
  Captioner,
  'releases' | 'stages' | 'towers' | 'inputs' | 'provider' | 'precision'
>;

/**
 * Opens releases and their vision towers. Weights stay in their files, and what stages share is computed once.
 * @throws DermcapError naming what is missing or does not fit, with a hint
 */
export async function openCaptioner(options: CaptionerOptions): Promise<Captioner> {
  const cache = new CacheUse(options.cacheDir ?? defaultCacheDir());
  try {
    return await openWith(cache, options);
  } catch (error) {
    await cache.release();
    throw error;
  }
}

async function openWith(cache: CacheUse, options: CaptionerOptions): Promise<Captioner> {
  const { onProgress = () => {}, precision = 'exact' } = options;
  const threads = options.threads ?? defaultThreads();
  const provider = await chooseProvider(options.provider ?? 'auto', options.device);

  onProgress('Reading the checkpoints');
  const opened = await openAll(options.releases);
  const { towers, inputs, members } = opened;
  // Beside everything that follows: it reads gigabytes the first time.
  const hashing = hashFiles(
    [...members.map(({ stage }) => stage.path), ...towers.map(t => t.weightsFile)],
    cache.dir,
  );
  hashing.catch(() => undefined);

  const load = loader(precision, cache, onProgress);
  const visions = [];
  for (const tower of towers) {
    onProgress(`Loading the vision tower ${tower.name}`);
    const weights = await load<VitWeights>(tower.sources, 'vision');
    const graph = vitGraph(weights, tower.sizes, tower.form, provider.name === 'webgpu');
    visions.push(await createSession(graph, provider, threads));
  }
  onProgress('Loading the language model');
  const groups: OpenGroup[] = [];
  for (const group of await groupStages(members, cache.dir)) {
    const model = await captionModel(group, members, load);
    const session = await createSession(captionGraph(model), provider, threads);
    groups.push({ members: group.members, model, session });
  }
  const sha256 = await hashing;
  onProgress('Ready');

  return new OnnxCaptioner(
    {
      releases: opened.releases.map(({ name, mode }) => ({ name, mode })),
      towers: towers.map(({ name, weightsFile, input }) => ({
        name,
        sha256: sha256.get(weightsFile)!,
        input,
      })),
      stages: members.map(({ stage: { id, label, file, prompt, path }, release, tower }) => ({
        id,
        label,
        file,
        prompt,
        sha256: sha256.get(path)!,
        release,
        tower,
      })),
      inputs,
      provider,
      precision,
    },
    visions,
    groups,
    members.map(({ release }) => opened.tokenizers[release]!),
    new StageScorer(groups, new Sessions(provider, threads)),
    cache,
  );
}
