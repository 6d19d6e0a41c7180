/**
 * Ratings. Events are only ever added; what counts is the newest of each rating that was not taken back, the
 * view `current_ratings`.
 */
import { DermcapError } from '@dermcap/models/errors';
import type { Transaction } from 'kysely';
import {
  ANSWER_SCHEMA_VERSION,
  RatingAnswer,
  type RatingEvent,
  type RatingEventRequest,
  type RatingPage,
  type RatingQuery,
  type RatingResult,
  type Rubric,
  type StageId,
} from '../contract/index.js';
import type { StudyDatabase } from './open.js';
import { currentRubric } from './rubric.js';
import type { StudyTables } from './tables.js';

type Create = Extract<RatingEventRequest, { kind: 'create' }>;

/** What a new event shares with the rating it belongs to. */
interface Subject {
  rating: string;
  image_id: number;
  item_id: number | null;
  shown: string;
}

/**
 * Stores events in order, all that are sound in one transaction: when this resolves they are on the disk. An
 * event that was stored before, by its key, is not stored again.
 * @throws DermcapError `disk-full`, `study-write-failed` and the like: then nothing was stored
 */
export async function recordRatings(
  db: StudyDatabase,
  events: readonly RatingEventRequest[],
  annotator: string,
  nowMs: number,
): Promise<RatingResult[]> {
  const { id: rubricId, rubric } = await currentRubric(db, nowMs);
  return db.transaction().execute(async transaction => {
    const results: RatingResult[] = [];
    for (const event of events) {
      try {
        results.push(await record(transaction, event, annotator, { id: rubricId, rubric }, nowMs));
      } catch (error) {
        // The disk's errors concern all of them, and none is acknowledged.
        if (!(error instanceof RefusedEvent)) throw error;
        const { code, message, hint } = error;
        results.push({
          key: event.key,
          status: 'refused',
          eventId: null,
          error: { code, message, ...(hint === undefined ? {} : { hint }) },
        });
      }
    }
    return results;
  });
}

/** An event that can never be stored as it is. */
class RefusedEvent extends DermcapError {}

async function record(
  db: Transaction<StudyTables>,
  event: RatingEventRequest,
  annotator: string,
  { id: rubricId, rubric }: { id: number; rubric: Rubric },
  nowMs: number,
): Promise<RatingResult> {
  const answer = event.kind === 'undo' ? null : event.answer;
  const stored = await db
    .selectFrom('rating_events')
    .selectAll()
    .where('key', '=', event.key)
    .executeTakeFirst();
  if (stored) {
    const same =
      stored.kind === event.kind &&
      stored.annotator === annotator &&
      stored.client_ms === event.clientMs &&
      stored.answer === (answer && JSON.stringify(answer));
    if (same) return { key: event.key, status: 'duplicate', eventId: stored.id, error: null };
    throw new RefusedEvent('key-taken', 'Another event was stored under this key.', {
      hint: 'Give every event a key of its own.',
    });
  }
  if (answer) checkAnswer(answer, rubric);
  const subject = event.kind === 'create' ? await subjectOf(db, event, annotator) : null;
  const { undoes, ...of } = subject
    ? { ...subject, undoes: null }
    : await ratingOf(db, event as Exclude<RatingEventRequest, Create>, annotator);
  const { id } = await db
    .insertInto('rating_events')
    .values({
      ...of,
      undoes,
      key: event.key,
      kind: event.kind,
      annotator,
      answer: answer && JSON.stringify(answer),
      rubric_id: rubricId,
      schema_version: ANSWER_SCHEMA_VERSION,
      client_ms: event.clientMs,
      server_ms: nowMs,
      time_spent_ms: event.timeSpentMs,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  return { key: event.key, status: 'stored', eventId: id, error: null };
}

/** What a new rating is about: an item of one's own queue, or two captions of one image. */
async function subjectOf(db: Transaction<StudyTables>, event: Create, annotator: string): Promise<Subject> {
  if ('itemId' in event.of) {
    const item = await db
      .selectFrom('assignment_items as t')
      .innerJoin('assignments as a', 'a.id', 't.assignment_id')
      .select(['t.id', 't.annotator', 't.image_id', 't.left_caption_id', 't.right_caption_id', 'a.state'])
      .where('t.id', '=', event.of.itemId)
      .executeTakeFirst();
    if (!item || item.annotator !== annotator) {
      throw new RefusedEvent('no-such-item', 'Your queue has no such item.');
    }
    if (item.state === 'closed')
      throw new RefusedEvent('assignment-closed', 'This assignment has been closed.');
    const rated = await db
      .selectFrom('current_ratings')
      .select('rating')
      .where('item_id', '=', item.id)
      .executeTakeFirst();
    if (rated) {
      throw new RefusedEvent('already-rated', 'You have rated this item already.', {
        hint: 'Amend that rating, or undo it.',
      });
    }
    const shown = await shownCaptions(db, item.left_caption_id, item.right_caption_id);
    return {
      rating: event.key,
      image_id: item.image_id,
      item_id: item.id,
      shown: JSON.stringify(shown.sides),
    };
  }
  const { leftCaptionId, rightCaptionId } = event.of;
  const { sides, images } = await shownCaptions(db, leftCaptionId, rightCaptionId);
  if (images[0] !== images[1]) {
    throw new RefusedEvent('not-one-image', 'These captions are of different images.');
  }
  return { rating: event.key, image_id: images[0]!, item_id: null, shown: JSON.stringify(sides) };
}

async function shownCaptions(
  db: Transaction<StudyTables>,
  left: number,
  right: number,
): Promise<{ sides: RatingEvent['shown']; images: number[] }> {
  const rows = await db
    .selectFrom('captions as c')
    .innerJoin('recipes as r', 'r.id', 'c.recipe_id')
    .innerJoin('releases as l', 'l.id', 'r.release_id')
    .select(['c.id', 'c.image_id', 'l.stage'])
    .where('c.id', 'in', [left, right])
    .execute();
  const side = (id: number): { captionId: number; stage: StageId; image: number } => {
    const row = rows.find(found => found.id === id);
    if (!row) throw new RefusedEvent('no-such-caption', `The study has no caption ${id}.`);
    return { captionId: id, stage: row.stage as StageId, image: row.image_id };
  };
  const [{ image: leftImage, ...l }, { image: rightImage, ...r }] = [side(left), side(right)];
  return { sides: { left: l, right: r }, images: [leftImage, rightImage] };
}

/** The rating that an event changes, and the event that an undo takes back. */
async function ratingOf(
  db: Transaction<StudyTables>,
  event: Exclude<RatingEventRequest, Create>,
  annotator: string,
): Promise<Subject & { undoes: number | null }> {
  const first = await db
    .selectFrom('rating_events')
    .select(['rating', 'image_id', 'item_id', 'shown', 'annotator'])
    .where('key', '=', event.rating)
    .where('kind', '=', 'create')
    .executeTakeFirst();
  if (!first || first.annotator !== annotator) {
    throw new RefusedEvent('no-such-rating', 'You have no such rating.', {
      hint: 'Send the event that made it first.',
    });
  }
  const { annotator: _owner, ...subject } = first;
  const current = await db
    .selectFrom('current_ratings')
    .select('id')
    .where('rating', '=', event.rating)
    .executeTakeFirst();
  if (!current) {
    throw new RefusedEvent('rating-undone', 'This rating has been taken back.', {
      hint: 'Rate the item anew.',
    });
  }
  return { ...subject, undoes: event.kind === 'undo' ? current.id : null };
}

function checkAnswer(answer: RatingAnswer, rubric: Rubric): void {
  const refuse = (message: string): never => {
    throw new RefusedEvent('answer-against-rubric', message, { hint: 'GET …/rubric says what is asked.' });
  };
  if (answer.preference === null && !answer.unusable) refuse('A preference is missing.');
  for (const [id, sides] of Object.entries(answer.marks)) {
    const mark = rubric.marks.find(known => known.id === id);
    if (!mark) return refuse(`The rubric has no mark “${id}”.`);
    for (const value of Object.values(sides)) {
      if (value === undefined) continue;
      if (value < mark.min || value > mark.max) {
        refuse(`“${mark.label}” takes ${mark.min} to ${mark.max}, not ${value}.`);
      }
    }
  }
  for (const mark of rubric.marks) {
    const given = answer.marks[mark.id];
    const complete = given?.left !== undefined && given.right !== undefined;
    if (mark.required && !complete && !answer.unusable) refuse(`“${mark.label}” is missing.`);
  }
  for (const id of [...answer.errors.left, ...answer.errors.right]) {
    if (!rubric.errors.some(known => known.id === id)) refuse(`The rubric has no error “${id}”.`);
  }
}

/** A page of events in the order in which they were stored. */
export async function ratingPage(db: StudyDatabase, query: RatingQuery): Promise<RatingPage> {
  let select = db
    .selectFrom(query.events === 'all' ? 'rating_events' : 'current_ratings')
    .selectAll()
    .where('id', '>', query.after)
    .orderBy('id')
    .limit(query.limit + 1);
  if (query.annotator !== undefined) select = select.where('annotator', '=', query.annotator);
  if (query.image !== undefined) select = select.where('image_id', '=', query.image);
  const rows = await select.execute();
  const events = rows.slice(0, query.limit).map((row): RatingEvent => ({
    id: row.id,
    key: row.key,
    kind: row.kind,
    rating: row.rating,
    undoes: row.undoes,
    annotator: row.annotator,
    imageId: row.image_id,
    itemId: row.item_id,
    shown: JSON.parse(row.shown) as RatingEvent['shown'],
    answer: row.answer === null ? null : RatingAnswer.parse(JSON.parse(row.answer)),
    rubricId: row.rubric_id,
    schemaVersion: row.schema_version,
    clientMs: row.client_ms,
    serverMs: row.server_ms,
    timeSpentMs: row.time_spent_ms,
  }));
  return { events, after: rows.length > query.limit ? events.at(-1)!.id : null };
}

/** Everyone who has rated or has a queue. */
export async function annotators(
  db: StudyDatabase,
): Promise<{ username: string; ratings: number; assigned: number; lastMs: number | null }[]> {
  const rated = await db
    .selectFrom('current_ratings')
    .select(eb => ['annotator', eb.fn.countAll<number>().as('n'), eb.fn.max('server_ms').as('last')])
    .groupBy('annotator')
    .execute();
  const queued = await db
    .selectFrom('assignment_items')
    .select(eb => ['annotator', eb.fn.countAll<number>().as('n')])
    .groupBy('annotator')
    .execute();
  const names = [...new Set([...rated, ...queued].map(({ annotator }) => annotator))].sort();
  return names.map(username => {
    const own = rated.find(({ annotator }) => annotator === username);
    return {
      username,
      ratings: own?.n ?? 0,
      assigned: queued.find(({ annotator }) => annotator === username)?.n ?? 0,
      lastMs: own?.last ?? null,
    };
  });
}
