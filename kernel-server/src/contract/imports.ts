/** Imports: images of a dataset into a study. */
import { z } from 'zod';
import { Scalar } from './studies.js';

/** Which columns say what; columns that are not named stay metadata. */
export const ColumnMapping = z.object({
  /** Columns that name or hold an image. */
  image: z.array(z.string()).max(100),
  /** Columns whose text is a reference caption. */
  captions: z.array(z.string()).max(100),
  /** One column: its value. Several: one-hot or probability columns. */
  label: z.array(z.string()).max(1000),
  split: z.string().nullable(),
  source: z.string().nullable(),
  group: z.string().nullable(),
  id: z.string().nullable(),
});

/** A folder, a manifest or a shard, relative to the server's root. */
export const DatasetRequest = z.object({ path: z.string().max(4096) });

export const DatasetDescription = z.object({
  kind: z.string(),
  files: z.array(z.string()),
  /** Rows, when that is known without reading them all. */
  rows: z.int().nullable(),
  columns: z.array(z.object({ name: z.string(), type: z.string() })),
  /** Guessed, to be confirmed by a person. */
  mapping: ColumnMapping,
  preset: z.string().nullable(),
  /** From 0 to 1; below 0.5 a person should look closely. */
  confidence: z.number(),
  why: z.array(z.string()),
  preview: z.array(z.record(z.string(), Scalar)),
});
export type DatasetDescription = z.infer<typeof DatasetDescription>;

export const ImportRequest = z.object({
  path: z.string().max(4096),
  /** Default: the guess. */
  mapping: ColumnMapping.optional(),
  /** Take the pixels of DICOM files that name a person, and leave the headers behind. */
  stripDicom: z.boolean().default(false),
});
export type ImportRequest = z.infer<typeof ImportRequest>;

export const Import = z.object({
  id: z.string(),
  path: z.string(),
  state: z.enum(['running', 'done', 'cancelled', 'failed']),
  detail: z.string(),
  rows: z.int(),
  total: z.int().nullable(),
  added: z.int(),
  updated: z.int(),
  /** Found again under another name. */
  moved: z.int(),
  /** Images that cannot be opened, by state; the study lists each with its reason. */
  problems: z.record(z.string(), z.int()),
  createdMs: z.number(),
  finishedMs: z.number().nullable(),
});
export type Import = z.infer<typeof Import>;
export const ImportList = z.object({ imports: z.array(Import) });
