/** Runs and imports of a study: work that is stored with it and goes on after a restart. */
import { z } from 'zod';
import { ApiError, PreprocessMode, PromptChoice, StageId } from './captions.js';
import { DecodingOptions } from './decoding.js';
import { ImageFilter, ShortCaption } from './studies.js';

/** A person who waits (`interactive`) goes before work in `bulk`. */
export const RunPriority = z.enum(['interactive', 'bulk']);

export const StudyRunRequest = z.object({
  /** Which images. Those that have the very captions already cost nothing. */
  filter: ImageFilter.default({}),
  release: z.string().max(500),
  stages: z.array(StageId).min(1).max(3).default(['a', 'b']),
  prompt: PromptChoice.default({ mode: 'own' }),
  decoding: DecodingOptions.default({}),
  preprocess: PreprocessMode.default('train-centre'),
  autoOrient: z.boolean().default(true),
  priority: RunPriority.default('bulk'),
});
export type StudyRunRequest = z.infer<typeof StudyRunRequest>;

/**
 * `paused` runs go on when they are resumed, also those that a stopped server left (their `detail` says so);
 * `failed` ones too, once their cause is mended. `done` and `cancelled` are the end.
 */
export const StudyRunState = z.enum([
  'queued',
  'loading',
  'running',
  'paused',
  'done',
  'cancelled',
  'failed',
]);
export type StudyRunState = z.infer<typeof StudyRunState>;

export const StudyRun = z.object({
  id: z.string(),
  state: StudyRunState,
  detail: z.string(),
  release: z.string(),
  stages: z.array(StageId),
  priority: RunPriority,
  createdBy: z.string(),
  createdMs: z.number(),
  finishedMs: z.number().nullable(),
  total: z.int(),
  /** Images captioned, those included that had been before. */
  captioned: z.int(),
  failed: z.int(),
  imagesPerSecond: z.number().nullable(),
  /** Estimated from the speed measured so far. */
  secondsLeft: z.number().nullable(),
  /** Images decoded together. */
  batchSize: z.int().nullable(),
});
export type StudyRun = z.infer<typeof StudyRun>;
export const StudyRunList = z.object({ runs: z.array(StudyRun) });

export const StudyRunChange = z.object({ priority: RunPriority });

export const RunFailure = z.object({ imageId: z.int(), path: z.string(), error: ApiError });
export const RunFailureQuery = z.object({
  after: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(1000).default(200),
});
export const RunFailurePage = z.object({ failures: z.array(RunFailure), after: z.int().nullable() });
export type RunFailurePage = z.infer<typeof RunFailurePage>;

/**
 * Server-sent events of a run. Results have an `id`; a client that reconnects with `Last-Event-ID` gets what it
 * missed, also from a server started since. `run` says how the run stands, and when it ends so does the stream.
 */
export const StudyRunEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('run'), run: StudyRun }),
  z.object({
    type: z.literal('captions'),
    imageId: z.int(),
    path: z.string(),
    captions: z.array(ShortCaption),
  }),
  z.object({ type: z.literal('failure'), failure: RunFailure }),
]);
export type StudyRunEvent = z.infer<typeof StudyRunEvent>;
