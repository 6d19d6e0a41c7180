/**
 * The contract between the server and everything that talks to it: zod schemas, the one place where both
 * sides meet. OpenAPI is generated from these. Browser-safe: imports nothing but zod.
 *
 * All paths are relative to the server's root folder, with `/` between parts and no leading slash.
 * All times are milliseconds since the Unix epoch unless the name says otherwise.
 */
import { z } from 'zod';
import { ApiError, Caption, PreprocessMode, PromptChoice, StageId } from './captions.js';
import { DecodingOptions } from './decoding.js';

export * from './captions.js';
export * from './decoding.js';
export * from './imports.js';
export * from './ratings.js';
export * from './studies.js';
export * from './study-runs.js';

/** Raised with every incompatible change; the front end compares it with `Health.contract`. */
export const CONTRACT_VERSION = 1;

export const EngineState = z.object({
  state: z.enum(['idle', 'loading', 'ready', 'busy', 'failed']),
  /** What the engine is doing or why it failed, in words. */
  detail: z.string(),
  release: z.string().nullable(),
  provider: z.string().nullable(),
  /** Why this provider was chosen. */
  providerReason: z.string().nullable(),
  precision: z.string().nullable(),
});
export type EngineState = z.infer<typeof EngineState>;

export const Health = z.object({
  status: z.literal('ok'),
  version: z.string(),
  contract: z.int(),
  pid: z.int(),
  uptimeS: z.number(),
  /** Name of the folder that the server serves, without its path; empty for the root of a file system. */
  rootName: z.string(),
  engine: EngineState,
});
export type Health = z.infer<typeof Health>;

export const ReleaseStage = z.object({
  id: StageId,
  label: z.string(),
  file: z.string(),
  prompt: z.string().nullable(),
});
export const Release = z.object({
  id: z.string(),
  name: z.string(),
  /** True for the small release that ships with DermCap. */
  demo: z.boolean(),
  stages: z.array(ReleaseStage),
  clip: z.string().nullable(),
  /** Why this release cannot be used, in words; null when it can. */
  problem: z.string().nullable(),
});
export type Release = z.infer<typeof Release>;
export const ReleaseList = z.object({ releases: z.array(Release) });

export const ImageEntry = z.object({
  path: z.string(),
  name: z.string(),
  sizeBytes: z.int(),
  modifiedMs: z.number(),
});
export type ImageEntry = z.infer<typeof ImageEntry>;

export const ImageQuery = z.object({
  folder: z.string().default(''),
  recursive: z.stringbool().default(true),
  offset: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(1000).default(200),
});
export const ImagePage = z.object({
  folder: z.string(),
  total: z.int(),
  offset: z.int(),
  images: z.array(ImageEntry),
});
export type ImagePage = z.infer<typeof ImagePage>;

export const ThumbnailQuery = z.object({
  path: z.string(),
  /** Longer side in pixels. */
  size: z.coerce.number().int().min(32).max(1024).default(256),
  /** Any text that changes with the file, as `modifiedMs`: with it the answer may be kept for ever. */
  v: z.string().optional(),
});
export const ImageFileQuery = z.object({ path: z.string(), v: z.string().optional() });

export const RunRequest = z.object({
  images: z.array(z.string()).min(1).max(100_000),
  release: z.string(),
  stages: z.array(StageId).min(1).default(['a', 'b']),
  prompt: PromptChoice.default({ mode: 'own' }),
  decoding: DecodingOptions.default({}),
  preprocess: PreprocessMode.default('train-centre'),
  /** Rotate by EXIF before preprocessing. The reference does not; a person expects it. */
  autoOrient: z.boolean().default(true),
});
export type RunRequest = z.infer<typeof RunRequest>;

export const RunState = z.enum(['queued', 'loading', 'running', 'done', 'cancelled', 'failed']);
export const Run = z.object({
  id: z.string(),
  state: RunState,
  /** What is being done, or why the run failed, in words. */
  detail: z.string(),
  release: z.string(),
  stages: z.array(StageId),
  total: z.int(),
  captioned: z.int(),
  failed: z.int(),
  createdMs: z.number(),
  finishedMs: z.number().nullable(),
  imagesPerSecond: z.number().nullable(),
});
export type Run = z.infer<typeof Run>;
export const RunList = z.object({ runs: z.array(Run) });

/** Codes that begin with `image-` say that the file itself cannot be read (unreadable, truncated, empty, too large). */
export const ImageFailure = z.object({ image: z.string(), error: ApiError });
export type ImageFailure = z.infer<typeof ImageFailure>;

/**
 * Server-sent events of `GET runs/:id/events`. Each has an increasing `id`; a client that reconnects with
 * `Last-Event-ID` gets what it missed. `run` repeats the run's state, `captions` are one image's captions.
 * After a `run` event whose state is done, cancelled or failed the stream ends.
 */
export const RunEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('run'), run: Run }),
  z.object({ type: z.literal('captions'), image: z.string(), captions: z.array(Caption) }),
  z.object({ type: z.literal('failure'), failure: ImageFailure }),
]);
export type RunEvent = z.infer<typeof RunEvent>;

/** Latest captions (per stage) of the images of one folder that this server has made since it started. */
export const CaptionQuery = z.object({ folder: z.string().default('') });
export const CaptionList = z.object({ captions: z.array(Caption), failures: z.array(ImageFailure) });
export type CaptionList = z.infer<typeof CaptionList>;
