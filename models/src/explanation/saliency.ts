/** Saliency by covering parts of the image: what is covered, batch by batch, and the map that comes of it. */
import { DermcapError } from '../errors.js';
import { activationMasks, maskImage, maskingMap } from './masking.js';
import { occlude, occlusionMap, occlusionWindows } from './occlusion.js';

export type SaliencyMethod =
  | {
      method: 'occlusion';
      /** Patches of the covered square's side; default 1. */
      window?: number | undefined;
      /** Patches from square to square, at most the window; default half of it. */
      stride?: number | undefined;
    }
  | {
      method: 'masking';
      /** How many of the tower's channels are used as masks; default 64. */
      masks?: number | undefined;
    };

/** How a long computation tells how far it is, and is told to stop. */
export interface Steering {
  /** Stops before the next batch; the call then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/** What the methods need of an open tower and stage. */
export interface SaliencySubject {
  /** [3, size, size], normalised */
  pixels: Float32Array;
  size: number;
  /** Pixels of a patch's side. */
  patch: number;
  /** Patches of the image's side. */
  grid: number;
  /** Of what is scored: a sum over so many tokens. */
  tokens: number;
  /** The patches as the tower's last block reads them, [patches, channels]. */
  activations: () => Promise<Float32Array>;
  /** Log-likelihood of the chosen tokens for each image, in nats. */
  score: (images: readonly Float32Array[]) => Promise<number[]>;
}

export interface SaliencyMap {
  method: SaliencyMethod['method'];
  /** Rows and columns. */
  grid: number;
  /** [grid, grid]; `measure` says of what. */
  values: Float32Array;
  /** What a cell's value is, in a sentence. */
  measure: string;
  /** Log-likelihood of the chosen tokens for the whole image, in nats. */
  logLikelihood: number;
  /** How many covered images were scored. */
  images: number;
}

const DEFAULT_WINDOW = 1;
const DEFAULT_MASKS = 64;

/** @throws DermcapError `saliency-options`; the signal's reason when it is aborted */
export async function saliencyMap(
  subject: SaliencySubject,
  options: SaliencyMethod,
  batchSize: number,
  steering: Steering = {},
): Promise<SaliencyMap> {
  const { pixels, size, patch, grid } = subject;
  if (options.method === 'occlusion') {
    const window = options.window ?? DEFAULT_WINDOW;
    const stride = options.stride ?? Math.max(1, Math.floor(window / 2));
    const windows = occlusionWindows(grid, { window, stride });
    const [whole = 0, ...scores] = await scoreAll(
      subject,
      windows.length,
      i => occlude(pixels, size, patch, windows[i]!),
      batchSize,
      steering,
    );
    return {
      method: 'occlusion',
      grid,
      values: occlusionMap(grid, windows, whole, scores),
      measure:
        `fall of the log-likelihood (nats) when a square of ${window} × ${window} patches is covered with the mean ` +
        'colour; mean over the squares that cover a patch',
      logLikelihood: whole,
      images: windows.length,
    };
  }
  const count = options.masks ?? DEFAULT_MASKS;
  if (!Number.isInteger(count) || count < 1)
    throw new DermcapError('saliency-options', `masks is ${count}; it must be a whole number ≥ 1.`);
  const activations = await subject.activations();
  const masks = activationMasks(activations, activations.length / (grid * grid), count);
  if (masks.length === 0)
    throw new DermcapError(
      'saliency-flat',
      'The tower’s activations are the same all over this image: there is nothing to mask with.',
      { hint: 'Use occlusion instead.' },
    );
  const [whole = 0, ...scores] = await scoreAll(
    subject,
    masks.length,
    i => maskImage(pixels, size, masks[i]!.values, grid),
    batchSize,
    steering,
  );
  return {
    method: 'masking',
    grid,
    values: maskingMap(
      masks,
      scores.map(score => score / subject.tokens),
    ),
    measure:
      `mean of the ${masks.length} activation maps of the tower's last block that vary most, each scaled to 0…1 and ` +
      'weighted by its share of the likelihood per token when the image is seen through it (after Score-CAM)',
    logLikelihood: whole,
    images: masks.length,
  };
}

/** Scores of the whole image and of `count` covered ones, which are made batch by batch. */
async function scoreAll(
  { pixels, score }: SaliencySubject,
  count: number,
  cover: (index: number) => Float32Array,
  batchSize: number,
  { signal, onProgress }: Steering,
): Promise<number[]> {
  const scores: number[] = [];
  while (scores.length <= count) {
    signal?.throwIfAborted();
    const from = scores.length;
    const length = Math.min(batchSize, count + 1 - from);
    const images = Array.from({ length }, (_, i) => (from + i === 0 ? pixels : cover(from + i - 1)));
    scores.push(...(await score(images)));
    onProgress?.(scores.length, count + 1);
  }
  return scores;
}
