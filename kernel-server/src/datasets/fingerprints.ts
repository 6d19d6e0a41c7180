/**
 * Facts of many images, off the thread that answers people: worker threads hash and decode, results come in
 * the order asked. What is known already costs a `stat`.
 */
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { DermcapError } from '@dermcap/models/errors';
import { Piscina } from 'piscina';
import type { DicomPolicy } from './dicom.js';
import type { FactsBatch } from './facts-worker.js';
import type { FactsResult, ImageRef } from './image-facts.js';
import type { ImageFacts } from './source.js';

const BATCH_IMAGES = 32;
/** Batches, or single images, that a thread has in hand at once. */
const TASKS_PER_THREAD = 4;
/** Nice enough that an import does not show in a server's answers (Unix: 0 to 19). */
const NICENESS = 10;

export interface FingerprintOptions {
  /** Facts that are known of a path; given back as they are while the file has not changed. */
  known?: (path: string) => ImageFacts | undefined;
  dicom?: DicomPolicy;
  signal?: AbortSignal;
  /** Worker threads; default: one for each processor, at most 8. */
  threads?: number;
  onProgress?: (done: number) => void;
}

// The built file: a worker thread is started by Node itself, also when the caller runs from source.
function workerScript(): string {
  return createRequire(import.meta.url).resolve('@dermcap/kernel-server/facts-worker');
}

function startPool(threads = Math.min(8, availableParallelism())): Piscina {
  return new Piscina({
    filename: workerScript(),
    minThreads: 0,
    maxThreads: threads,
    niceIncrement: NICENESS,
    concurrentTasksPerWorker: TASKS_PER_THREAD,
    idleTimeout: 1000,
    // Batches are short-lived: a small nursery is collected more often and keeps a thread small.
    resourceLimits: { maxYoungGenerationSizeMb: 8 },
  });
}

/** Facts of single images as they are asked for, from the same worker threads. */
export interface Examiner {
  /**
   * @throws DermcapError saying why the image cannot be read; the signal's reason when it is aborted
   */
  examine: (source: { root: string }, row: ImageRef, signal?: AbortSignal) => Promise<ImageFacts>;
  close: () => Promise<void>;
}

/** Starts the threads of an {@link Examiner}; they end by themselves while nothing is asked. */
export function startExaminer(options: { dicom?: DicomPolicy; threads?: number } = {}): Examiner {
  const { dicom = {}, threads } = options;
  const pool = startPool(threads);
  return {
    async examine({ root }, { path, embedded }, signal) {
      const image = embedded ? { path, embedded } : { path };
      const batch: FactsBatch = { root, dicom, images: [{ image }] };
      let results: FactsResult[];
      try {
        results = (await pool.run(batch, signal ? { signal } : {})) as FactsResult[];
      } catch (error) {
        signal?.throwIfAborted();
        throw error;
      }
      const [result] = results;
      if ('facts' in result!) return result.facts;
      throw new DermcapError(result!.fault.code, result!.fault.reason);
    },
    close: () => pool.close({ force: true }),
  };
}

/**
 * @param root real path of the dataset's folder
 * @param images rows with an image; one that cannot be read comes back with its fault
 * @throws the signal's reason when it is aborted
 */
export async function* fingerprints(
  root: string,
  images: Iterable<ImageRef> | AsyncIterable<ImageRef>,
  options: FingerprintOptions = {},
): AsyncGenerator<FactsResult> {
  const { known, dicom = {}, signal, onProgress } = options;
  const threads = options.threads ?? Math.min(8, availableParallelism());
  const pool = startPool(threads);
  const running: Promise<FactsResult[]>[] = [];
  let done = 0;
  const first = async (): Promise<FactsResult[]> => {
    const results = await running.shift()!;
    signal?.throwIfAborted();
    done += results.length;
    onProgress?.(done);
    return results;
  };
  const start = (batch: FactsBatch['images']): void => {
    const work = pool.run(
      { root, dicom, images: batch } satisfies FactsBatch,
      signal ? { signal } : {},
    ) as Promise<FactsResult[]>;
    // Awaited in its turn; a batch that fails while another is waited for is no stray rejection.
    work.catch(() => undefined);
    running.push(work);
  };
  try {
    let batch: FactsBatch['images'] = [];
    for await (const { path, embedded } of images) {
      signal?.throwIfAborted();
      const before = known?.(path);
      batch.push({ image: embedded ? { path, embedded } : { path }, ...(before ? { known: before } : {}) });
      if (batch.length < BATCH_IMAGES) continue;
      start(batch);
      batch = [];
      // Two batches a thread: none of them ever waits for the next.
      while (running.length >= 2 * threads) yield* await first();
    }
    if (batch.length > 0) start(batch);
    while (running.length > 0) yield* await first();
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    await pool.close({ force: true }).catch(() => undefined);
  }
}
