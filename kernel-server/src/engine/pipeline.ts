/**
 * Image files to captions, batch by batch: while one batch decodes, the images of the next are read and
 * preprocessed. An image that cannot be read is reported and the others go on.
 */
import type { Captioner, ImageInput } from '@dermcap/models';
import { DermcapError } from '@dermcap/models/errors';
import type {
  ApiError,
  Caption,
  Decoding,
  ImageFailure,
  PreprocessMode,
  PromptChoice,
} from '../contract/index.js';
import type { LoadPixels } from './engine.js';

export const DEFAULT_BATCH_SIZE = 4;

/** An image by the name it goes by in results, and how to find its file. */
export interface ImageSource {
  name: string;
  /** @throws DermcapError when the image is not there or may not be read */
  locate: () => Promise<string> | string;
}

export interface CaptionJob {
  /** What captions say they come from; default: the name of the release's folder. */
  releaseName?: string;
  prompt: PromptChoice;
  decoding: Decoding;
  preprocess: PreprocessMode;
  autoOrient: boolean;
  /** Images decoded together; fewer once that many did not fit into memory. */
  batchSize: number;
  /** Told when a batch did not fit and how many images are tried from then on. */
  onSmallerBatch?: (batchSize: number) => void;
}

export type ImageResult = { image: string; captions: Caption[] } | ImageFailure;

interface LoadedImage {
  name: string;
  loaded: ImageInput | DermcapError;
}

/** What a person is told of any error: its own sentence when it is ours, else its message. */
export function describeError(error: unknown, code: string): ApiError {
  if (error instanceof DermcapError) {
    return {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    };
  }
  return { code, message: error instanceof Error ? error.message : String(error) };
}

/**
 * Captions images in order and yields the results of each batch as it is done.
 * @param signal ends the work at the next batch boundary, without an error
 * @throws whatever the captioner throws; failures of single images are results instead
 */
export async function* captionImages(
  captioner: Captioner,
  loadPixels: LoadPixels,
  sources: readonly ImageSource[],
  job: CaptionJob,
  signal?: AbortSignal,
): AsyncGenerator<ImageResult[]> {
  let { batchSize } = job;
  const load = async (start: number): Promise<LoadedImage[]> =>
    Promise.all(
      sources.slice(start, start + batchSize).map(async source => ({
        name: source.name,
        loaded: await loadOne(source, captioner, loadPixels, job),
      })),
    );

  let next: Promise<LoadedImage[]> | null = sources.length > 0 ? load(0) : null;
  for (let start = 0; next && !signal?.aborted;) {
    const images: LoadedImage[] = await next;
    start += images.length;
    next = start < sources.length ? load(start) : null;
    for (let done = 0; done < images.length && !signal?.aborted;) {
      const part = images.slice(done, done + batchSize);
      try {
        yield await captionBatch(captioner, part, job);
        done += part.length;
      } catch (error) {
        if (part.length === 1 || !isOutOfMemory(error)) throw error;
        batchSize = Math.ceil(part.length / 2);
        job.onSmallerBatch?.(batchSize);
      }
    }
  }
}

/** What onnxruntime, its CUDA and WebGPU providers and the C++ runtime say when memory does not suffice. */
const OUT_OF_MEMORY = /out of memory|bad_alloc|failed to allocate|not enough memory|allocation failed/i;

function isOutOfMemory(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return code === 'out-of-memory' || (typeof message === 'string' && OUT_OF_MEMORY.test(message));
}

async function loadOne(
  source: ImageSource,
  captioner: Captioner,
  loadPixels: LoadPixels,
  job: CaptionJob,
): Promise<ImageInput | DermcapError> {
  let file = source.name;
  try {
    file = await source.locate();
    const pixels: Float32Array[] = [];
    for (const input of captioner.inputs)
      pixels.push(await loadPixels(file, job.preprocess, input, { autoOrient: job.autoOrient }));
    return { pixels };
  } catch (error) {
    const { code, message, hint } = describeError(error, 'image-unreadable');
    // A person knows the image by the name they gave; where it lies is not for the browser.
    return new DermcapError(code, message.replaceAll(file, source.name), {
      ...(hint === undefined ? {} : { hint }),
      cause: error,
    });
  }
}

/** What decides how a stage's captions come out, beside the image and the prompt. */
export function provenance(
  captioner: Captioner,
  stage: number,
  job: CaptionJob,
): Pick<Caption, 'release' | 'clip' | 'decoding' | 'precision' | 'preprocess' | 'autoOrient'> {
  const { release, tower, sha256 } = captioner.stages[stage]!;
  return {
    release: { name: job.releaseName ?? captioner.releases[release]!.name, sha256 },
    clip: { sha256: captioner.towers[tower]!.sha256 },
    decoding: job.decoding,
    precision: captioner.precision,
    preprocess: job.preprocess,
    autoOrient: job.autoOrient,
  };
}

async function captionBatch(
  captioner: Captioner,
  batch: LoadedImage[],
  job: CaptionJob,
): Promise<ImageResult[]> {
  const images = batch.flatMap(({ loaded }) => (loaded instanceof DermcapError ? [] : [loaded]));
  const startMs = performance.now();
  const captioned =
    images.length === 0
      ? []
      : await captioner.caption(images, {
          decoding: job.decoding,
          ...(job.prompt.mode === 'text' ? { prompt: job.prompt.text } : {}),
        });
  const ms = (performance.now() - startMs) / Math.max(1, images.length * captioner.stages.length);
  let row = 0;
  return batch.map(({ name, loaded }): ImageResult => {
    if (loaded instanceof DermcapError)
      return { image: name, error: describeError(loaded, 'image-unreadable') };
    const captions = captioned[row++]!.map(({ stage, caption, tokens, score, prompt }, s) => {
      return {
        ...{ image: name, stage, caption, tokens, score, prompt },
        ...provenance(captioner, s, job),
        provider: captioner.provider.name,
        ms: Math.round(ms * 10) / 10,
      };
    });
    return { image: name, captions };
  });
}
