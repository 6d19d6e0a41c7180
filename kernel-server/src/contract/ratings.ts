/** Ratings: what is asked (the rubric), and what was answered (events that are only ever added). */
import { z } from 'zod';
import { ApiError, StageId } from './captions.js';

/** Raised when answers of older versions can no longer be read as they are. */
export const ANSWER_SCHEMA_VERSION = 1;

const Identifier = z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/);

/** A mark that each side gets: whole numbers from `min` to `max`, the higher the better. */
export const RubricMark = z.object({
  id: Identifier,
  label: z.string().min(1).max(200),
  /** Question or explanation under the label. */
  description: z.string().max(1000).default(''),
  min: z.int().min(0).max(10).default(1),
  max: z.int().min(1).max(10).default(5),
  required: z.boolean().default(false),
});

export const RubricError = z.object({ id: Identifier, label: z.string().min(1).max(200) });

export const Rubric = z.object({
  title: z.string().min(1).max(200),
  instructions: z.string().max(10_000).default(''),
  marks: z.array(RubricMark).max(30),
  /** Errors that a side may be tagged with. */
  errors: z.array(RubricError).max(30),
  /** Ask after submitting which stage stood left, to know how blind the rating was. */
  guess: z.boolean().default(true),
  editedCaption: z.boolean().default(true),
  note: z.boolean().default(true),
});
export type Rubric = z.infer<typeof Rubric>;

/** A rubric as it is stored; changing it makes a new one, and answers keep naming theirs. */
export const StoredRubric = z.object({
  id: z.int(),
  rubric: Rubric,
  createdBy: z.string(),
  createdMs: z.number(),
});
export type StoredRubric = z.infer<typeof StoredRubric>;

export const Side = z.enum(['left', 'right']);

export const RatingAnswer = z.object({
  /** Null only for an image that cannot be judged. */
  preference: z.enum(['left', 'right', 'tie', 'both-bad']).nullable(),
  /** By mark of the rubric. */
  marks: z
    .record(z.string().max(64), z.object({ left: z.int().optional(), right: z.int().optional() }))
    .default({}),
  errors: z
    .object({ left: z.array(z.string().max(64)).max(30), right: z.array(z.string().max(64)).max(30) })
    .default({ left: [], right: [] }),
  unusable: z.boolean().default(false),
  /** A caption set right, to be exported as the accepted one. */
  edited: z
    .object({ from: Side.nullable(), text: z.string().min(1).max(10_000) })
    .nullable()
    .default(null),
  note: z.string().max(10_000).default(''),
  /** Which stage the annotator believes to have seen on the left. */
  guess: StageId.nullable().default(null),
});
export type RatingAnswer = z.infer<typeof RatingAnswer>;

/** Chosen by the client and new for every event: the same key sent again is stored once. */
export const EventKey = z.string().regex(/^[A-Za-z0-9_-]{8,100}$/);

const EventTimes = {
  key: EventKey,
  clientMs: z.int().min(0).max(1e14),
  timeSpentMs: z.int().min(0).max(1e10).default(0),
};

/**
 * `create` rates an item of the asker's queue, or two captions of an image freely chosen; its key is the
 * rating's name from then on. `amend` gives a new answer. `undo` takes the rating's newest event back.
 */
export const RatingEventRequest = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('create'),
    ...EventTimes,
    of: z.union([
      z.object({ itemId: z.int().min(1) }),
      z.object({ leftCaptionId: z.int().min(1), rightCaptionId: z.int().min(1) }),
    ]),
    answer: RatingAnswer,
  }),
  z.object({ kind: z.literal('amend'), ...EventTimes, rating: EventKey, answer: RatingAnswer }),
  z.object({ kind: z.literal('undo'), ...EventTimes, rating: EventKey }),
]);
export type RatingEventRequest = z.infer<typeof RatingEventRequest>;

/** Events in the order in which they happened; all that are sound are stored in one go. */
export const RatingBatch = z.object({ events: z.array(RatingEventRequest).min(1).max(500) });
export type RatingBatch = z.infer<typeof RatingBatch>;

/** `duplicate`: the very event was stored before. `refused`: it was not stored, and sending it again is no use. */
export const RatingResult = z.object({
  key: z.string(),
  status: z.enum(['stored', 'duplicate', 'refused']),
  eventId: z.int().nullable(),
  error: ApiError.nullable(),
});
export type RatingResult = z.infer<typeof RatingResult>;
export const RatingResults = z.object({ results: z.array(RatingResult) });

const Shown = z.object({ captionId: z.int(), stage: StageId });

export const RatingEvent = z.object({
  id: z.int(),
  key: z.string(),
  kind: z.enum(['create', 'amend', 'undo']),
  rating: z.string(),
  undoes: z.int().nullable(),
  annotator: z.string(),
  imageId: z.int(),
  itemId: z.int().nullable(),
  shown: z.object({ left: Shown, right: Shown }),
  answer: RatingAnswer.nullable(),
  rubricId: z.int(),
  schemaVersion: z.int(),
  clientMs: z.number(),
  serverMs: z.number(),
  timeSpentMs: z.number(),
});
export type RatingEvent = z.infer<typeof RatingEvent>;

export const RatingQuery = z.object({
  /** `current`: one event for each rating that stands. `all`: every event there is. */
  events: z.enum(['current', 'all']).default('current'),
  annotator: z.string().max(200).optional(),
  image: z.coerce.number().int().min(1).optional(),
  /** Id of the last event of the page before. */
  after: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(1000).default(200),
});
export type RatingQuery = z.infer<typeof RatingQuery>;
export const RatingPage = z.object({ events: z.array(RatingEvent), after: z.int().nullable() });
export type RatingPage = z.infer<typeof RatingPage>;

export const Annotator = z.object({
  username: z.string(),
  ratings: z.int(),
  assigned: z.int(),
  lastMs: z.number().nullable(),
});
export const AnnotatorList = z.object({ annotators: z.array(Annotator) });
