/** Studies: what is in a study's file, its images and how they are found. */
import { z } from 'zod';
import { Caption, CaptionSource, StageId } from './captions.js';

/** A study in an address: its path below the server's root, as base64url without padding. */
export const StudyId = z.string().regex(/^[A-Za-z0-9_-]{2,5000}$/);

export const StudyStorage = z.object({
  journal: z.enum(['wal', 'delete']),
  /** Set on network file systems, where one program at a time may use the file: to be shown as it is. */
  banner: z.string().nullable(),
});

export const Study = z.object({
  id: StudyId,
  /** Relative to the server's root. */
  path: z.string(),
  name: z.string(),
  title: z.string(),
  schemaVersion: z.int(),
  images: z.int(),
  captions: z.int(),
  ratings: z.int(),
  /** Images by what became of their files: `ok`, `missing`, `unreadable`, `changed`, …. */
  states: z.record(z.string(), z.int()),
  storage: StudyStorage,
  /** Name of the copy that was made before the file was brought up to date; null when it was not. */
  backup: z.string().nullable(),
});
export type Study = z.infer<typeof Study>;

export const StudyEntry = z.object({ id: StudyId, path: z.string(), name: z.string(), sizeBytes: z.int() });
export const StudyList = z.object({ studies: z.array(StudyEntry) });
export type StudyList = z.infer<typeof StudyList>;

export const StudyQuery = z.object({ folder: z.string().max(4096).default('') });

export const StudyRequest = z.object({
  /** Relative to the server's root, ending in `.dermcap`. */
  path: z.string().min(9).max(4096),
  title: z.string().max(500).optional(),
});
export type StudyRequest = z.infer<typeof StudyRequest>;

export const BackupRequest = z.object({ path: z.string().min(9).max(4096) });
export const BackupResult = z.object({ path: z.string(), sizeBytes: z.int() });

export const CheckResult = z.object({
  /** Empty for a sound file. */
  problems: z.array(z.string()),
});

/** What a study says of itself, by name. `title` is a string; the rest is the interface's own. */
export const StudySettings = z.record(z.string().min(1).max(100), z.unknown());
export type StudySettings = z.infer<typeof StudySettings>;

export const Scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);
export type Scalar = z.infer<typeof Scalar>;

/**
 * A column of the images: `path`, `state`, `label`, `split`, `source`, `group`, `datasetId`, `sizeBytes`,
 * `width`, `height`, `id`, or a metadata column as `meta.NAME`.
 */
export const ColumnName = z.string().min(1).max(1000);

/** A condition on one column; all parts that are given must hold. */
export const ColumnCondition = z.object({
  column: ColumnName,
  /** One of these; null stands for an empty cell. */
  in: z.array(Scalar).max(1000).optional(),
  notIn: z.array(Scalar).max(1000).optional(),
  min: z.union([z.number(), z.string()]).optional(),
  max: z.union([z.number(), z.string()]).optional(),
});
export type ColumnCondition = z.infer<typeof ColumnCondition>;

/** Which images are meant; an empty one means all. Every part that is given must hold. */
export const ImageFilter = z.object({
  /** Words that path, metadata, references or captions hold; the last may be the beginning of one. */
  text: z.string().max(1000).optional(),
  where: z.array(ColumnCondition).max(50).optional(),
  ids: z.array(z.int().min(1)).max(100_000).optional(),
  /** Has (or lacks) a caption of this stage. */
  captioned: z
    .array(z.object({ stage: StageId, is: z.boolean() }))
    .max(3)
    .optional(),
  /** Rated by whoever asks, by anyone, or by nobody. */
  rated: z.enum(['me', 'not-me', 'anyone', 'nobody']).optional(),
  /** Images whose bytes (`exact`) or whose look (`similar`) another image has too. */
  duplicate: z.enum(['exact', 'similar']).optional(),
  /** Images that this run could not caption. */
  failedInRun: z.string().max(100).optional(),
});
export type ImageFilter = z.infer<typeof ImageFilter>;

export const StudyImageSearch = z.object({
  filter: ImageFilter.default({}),
  sort: ColumnName.default('id'),
  order: z.enum(['ascending', 'descending']).default('ascending'),
  /** From the page before, with the same filter and order. */
  cursor: z.string().max(10_000).optional(),
  /** Images to pass over, for a jump; not together with a cursor. */
  offset: z.int().min(0).max(10_000_000).default(0),
  limit: z.int().min(1).max(1000).default(200),
});
export type StudyImageSearch = z.infer<typeof StudyImageSearch>;

export const ImageReference = z.object({ text: z.string(), column: z.string() });

/** The newest caption of a stage, for lists; `GET captions` has what made it. */
export const ShortCaption = z.object({
  id: z.int(),
  stage: StageId,
  caption: z.string(),
  score: z.number().nullable(),
  release: CaptionSource,
});

export const StudyImage = z.object({
  id: z.int(),
  /** Relative to the study's folder. */
  path: z.string(),
  name: z.string(),
  state: z.string(),
  reason: z.string().nullable(),
  label: z.string().nullable(),
  split: z.string().nullable(),
  source: z.string().nullable(),
  group: z.string().nullable(),
  datasetId: z.string().nullable(),
  sha256: z.string().nullable(),
  sizeBytes: z.int().nullable(),
  width: z.int().nullable(),
  height: z.int().nullable(),
  metadata: z.record(z.string(), Scalar),
  references: z.array(ImageReference),
  /** Empty while the image waits in the asker's blind queue. */
  captions: z.array(ShortCaption),
  /** True while its captions are hidden from the asker. */
  blind: z.boolean(),
  raters: z.int(),
  ratedByMe: z.boolean(),
});
export type StudyImage = z.infer<typeof StudyImage>;

export const StudyImagePage = z.object({
  total: z.int(),
  images: z.array(StudyImage),
  /** Asks for the next page; null on the last. */
  cursor: z.string().nullable(),
});
export type StudyImagePage = z.infer<typeof StudyImagePage>;

export const StudyThumbnailQuery = z.object({
  /** Longer side in pixels. */
  size: z.coerce.number().int().min(32).max(1024).default(256),
  /** Any text that changes with the file, as its hash: with it the answer may be kept for ever. */
  v: z.string().optional(),
});
export const StudyFileQuery = z.object({ v: z.string().optional() });

/** A caption of a study with everything that made it. */
export const StudyCaption = Caption.omit({ image: true }).extend({
  id: z.int(),
  imageId: z.int(),
  /** Of the bytes that were captioned, which may not be those of today. */
  imageSha256: z.string(),
  createdMs: z.number(),
});
export type StudyCaption = z.infer<typeof StudyCaption>;
export const StudyCaptionList = z.object({ captions: z.array(StudyCaption), blind: z.boolean() });

export const ImageColumn = z.object({ name: ColumnName, metadata: z.boolean() });
export const ImageColumnList = z.object({ columns: z.array(ImageColumn) });

export const FacetRequest = z.object({
  filter: ImageFilter.default({}),
  columns: z.array(ColumnName).min(1).max(50),
  /** Values of each column, the most frequent first. */
  limit: z.int().min(1).max(1000).default(50),
});
export type FacetRequest = z.infer<typeof FacetRequest>;

/** A column's values under the conditions on all other columns. */
export const Facet = z.object({
  column: ColumnName,
  values: z.array(z.object({ value: Scalar, count: z.int() })),
  /** Different values in all; `values` may hold fewer. */
  distinct: z.int(),
  /** Of the numbers among them; null when there are none. */
  min: z.number().nullable(),
  max: z.number().nullable(),
});
export type Facet = z.infer<typeof Facet>;
export const FacetList = z.object({ facets: z.array(Facet) });
export type FacetList = z.infer<typeof FacetList>;

export const SavedViewRequest = z.object({
  name: z.string().min(1).max(200),
  query: z.record(z.string(), z.unknown()),
});
export const SavedView = SavedViewRequest.extend({ createdBy: z.string(), createdMs: z.number() });
export const SavedViewList = z.object({ views: z.array(SavedView) });

export const Me = z.object({ username: z.string(), displayName: z.string() });
