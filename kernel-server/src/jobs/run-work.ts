/** The work of a run: the images it still has, captioned batch by batch, and what became of each stored at once. */
import { DermcapError } from '@dermcap/models/errors';
import type { OpenCaptioner, LoadPixels } from '../engine/engine.js';
import {
  captionImages,
  describeError,
  provenance,
  type CaptionJob,
  type ImageSource,
} from '../engine/pipeline.js';
import { recipeId } from '../study/captions.js';
import type { StudyDatabase, StudyFile } from '../study/open.js';
import type { Outcome, PendingImage, RunStore } from './run-store.js';
import { smallerBatch } from './runs.js';

/** Images fetched from the study's file together. */
const PORTION = 256;

/**
 * Real path of the file that holds an image's bytes.
 * @throws DermcapError where it is not there or is another than the study knows
 */
export type LocateImage = (study: StudyFile, image: PendingImage) => Promise<string>;

export interface RunWork {
  runId: string;
  store: RunStore;
  db: StudyDatabase;
  captioner: OpenCaptioner;
  loadPixels: LoadPixels;
  locate: (image: PendingImage) => Promise<string>;
  job: CaptionJob;
  now: () => number;
  /** Ends the work at the next batch boundary. */
  signal: AbortSignal;
  /** Whether somebody more urgent waits: the work ends at the next batch boundary. */
  makeWay: () => boolean;
  onBatch: (done: { captioned: number; failed: number; skipped: number }) => Promise<void>;
  onSmallerBatch: (batchSize: number, detail: string) => Promise<void>;
}

/** @returns true when no image is left, false when it was stopped before */
export async function captionPending(work: RunWork): Promise<boolean> {
  const { runId, store, signal, makeWay, onBatch } = work;
  const recipes = await recipesOf(work);
  const skipped = recipes.length === 0 ? 0 : await store.skipCaptioned(runId, recipes);
  if (skipped > 0) await onBatch({ captioned: 0, failed: 0, skipped });
  let { job } = work;
  for (;;) {
    const images = await store.pending(runId, PORTION);
    if (images.length === 0) return true;
    const unopened = images.filter(({ sha256 }) => sha256 === null);
    if (unopened.length > 0) {
      await store.record(
        runId,
        unopened.map(image => ({ image, error: neverOpened(image) })),
        work.now(),
      );
      await onBatch({ captioned: 0, failed: unopened.length, skipped: 0 });
    }
    const byName = new Map(images.map(image => [image.path, image]));
    const sources = images
      .filter(({ sha256 }) => sha256 !== null)
      .map((image): ImageSource => ({ name: image.path, locate: () => work.locate(image) }));
    const smaller: Promise<void>[] = [];
    const onSmallerBatch = (batchSize: number): void => {
      job = { ...job, batchSize };
      smaller.push(work.onSmallerBatch(batchSize, smallerBatch(batchSize)));
    };
    const captioning = captionImages(
      work.captioner,
      work.loadPixels,
      sources,
      { ...job, onSmallerBatch },
      signal,
    );
    for await (const results of captioning) {
      const outcomes = results.map((result): Outcome => {
        const image = byName.get(result.image)!;
        if ('error' in result) return { image, error: result.error };
        return { image, captions: result.captions.map(({ image: _path, ...caption }) => caption) };
      });
      await Promise.all(smaller);
      await store.record(runId, outcomes, work.now());
      const failed = outcomes.filter(outcome => 'error' in outcome).length;
      await onBatch({ captioned: outcomes.length - failed, failed, skipped: 0 });
      if (makeWay()) return false;
    }
    if (signal.aborted) return false;
  }
}

/** What captions of this work will be made with; empty where a prompt is not known before. */
async function recipesOf({ captioner, job, db }: RunWork): Promise<number[]> {
  const ids: number[] = [];
  for (const [s, stage] of captioner.stages.entries()) {
    const prompt = job.prompt.mode === 'text' ? job.prompt.text : stage.prompt;
    if (prompt === null) return [];
    ids.push(await recipeId(db, { stage: stage.id, prompt, ...provenance(captioner, s, job) }));
  }
  return ids;
}

function neverOpened({ path, state, reason }: PendingImage): { code: string; message: string; hint: string } {
  const error = new DermcapError(`image-${state}`, reason ?? `“${path}” could not be opened.`);
  return {
    ...describeError(error, 'image-unreadable'),
    hint: 'Mend it, import again, then retry what failed.',
  };
}
