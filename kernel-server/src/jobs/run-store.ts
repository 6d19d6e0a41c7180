/** Runs as a study's file keeps them: what is asked, which images are left, what became of the others. */
import { DermcapError } from '@dermcap/models/errors';
import { sql } from 'kysely';
import {
  StudyRunRequest,
  type ApiError,
  type ImageFailure,
  type RunFailurePage,
  type StageId,
  type StudyRun,
  type StudyRunEvent,
  type StudyRunState,
} from '../contract/index.js';
import { storeCaptions, type NewCaption } from '../study/captions.js';
import { imageIds } from '../study/images.js';
import type { Asker } from '../study/filter.js';
import type { StudyDatabase } from '../study/open.js';
import type { Priority } from './model-turns.js';

/** A run as it is stored, without what only a running server knows. */
export type StoredRun = Omit<StudyRun, 'imagesPerSecond' | 'secondsLeft'>;

export interface PendingImage {
  id: number;
  path: string;
  /** Null when the image could not be opened when it was imported; `reason` says why. */
  sha256: string | null;
  state: string;
  reason: string | null;
  sizeBytes: number | null;
  modifiedNs: string | null;
  embedded: string | null;
}

/** What became of an image of a run. */
export type Outcome =
  { image: PendingImage; captions: NewCaption[] } | { image: PendingImage; error: ApiError };

export interface NumberedRunEvent {
  id: number | null;
  event: StudyRunEvent;
}

export class RunStore {
  readonly #db: StudyDatabase;

  constructor(db: StudyDatabase) {
    this.#db = db;
  }

  /** @returns how many images the run has */
  async create(id: string, request: StudyRunRequest, asker: Asker, nowMs: number): Promise<number> {
    const images = await imageIds(this.#db, request.filter, asker);
    await this.#db.transaction().execute(async db => {
      await db
        .insertInto('runs')
        .values({
          id,
          state: 'queued',
          detail: 'Waiting for its turn.',
          request: JSON.stringify(request),
          priority: request.priority === 'interactive' ? 1 : 0,
          created_by: asker.username,
          created_ms: nowMs,
          finished_ms: null,
          batch_size: null,
        })
        .execute();
      await sql`INSERT INTO run_items (run_id, image_id) SELECT ${id}, value FROM json_each(${JSON.stringify(images)})`.execute(
        db,
      );
    });
    return images.length;
  }

  /** The newest first. */
  async list(): Promise<StoredRun[]> {
    const rows = await this.#db
      .selectFrom('runs')
      .selectAll()
      .orderBy('created_ms', 'desc')
      .orderBy('id')
      .execute();
    const counts = await this.#db
      .selectFrom('run_items')
      .select(eb => ['run_id', 'state', eb.fn.countAll<number>().as('n')])
      .groupBy(['run_id', 'state'])
      .execute();
    return rows.map(row => {
      const count = (state: string): number =>
        counts.find(c => c.run_id === row.id && c.state === state)?.n ?? 0;
      return stored(row, { pending: count('pending'), done: count('done'), failed: count('failed') });
    });
  }

  /** @throws DermcapError `no-such-run` */
  async get(id: string): Promise<StoredRun> {
    const row = await this.#db.selectFrom('runs').selectAll().where('id', '=', id).executeTakeFirst();
    if (!row) throw new DermcapError('no-such-run', 'The study has no run with this id.');
    const counts = await this.#db
      .selectFrom('run_items')
      .select(eb => ['state', eb.fn.countAll<number>().as('n')])
      .where('run_id', '=', id)
      .groupBy('state')
      .execute();
    const count = (state: string): number => counts.find(c => c.state === state)?.n ?? 0;
    return stored(row, { pending: count('pending'), done: count('done'), failed: count('failed') });
  }

  async request(id: string): Promise<StudyRunRequest> {
    const { request } = await this.#db
      .selectFrom('runs')
      .select('request')
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    return StudyRunRequest.parse(JSON.parse(request));
  }

  async update(
    id: string,
    change: {
      state?: StudyRunState;
      detail?: string;
      finishedMs?: number | null;
      batchSize?: number;
      priority?: Priority;
    },
  ): Promise<void> {
    const { finishedMs, batchSize, priority, ...rest } = change;
    await this.#db
      .updateTable('runs')
      .set({
        ...rest,
        ...(finishedMs === undefined ? {} : { finished_ms: finishedMs }),
        ...(batchSize === undefined ? {} : { batch_size: batchSize }),
        ...(priority === undefined ? {} : { priority: priority === 'interactive' ? 1 : 0 }),
      })
      .where('id', '=', id)
      .execute();
  }

  /** Runs that a stopped server left as if they were running. */
  async pauseInterrupted(): Promise<void> {
    await this.#db
      .updateTable('runs')
      .set({
        state: 'paused',
        detail: 'The server was stopped. Resume it to go on with the images that are left.',
      })
      .where('state', 'in', ['queued', 'loading', 'running'])
      .execute();
  }

  /** Images still to be captioned, in the order in which they came into the study. */
  async pending(id: string, limit: number): Promise<PendingImage[]> {
    return this.#db
      .selectFrom('run_items as t')
      .innerJoin('images as i', 'i.id', 't.image_id')
      .select(['i.id', 'i.path', 'i.sha256', 'i.state', 'i.reason', 'i.embedded'])
      .select(['i.size_bytes as sizeBytes', 'i.modified_ns as modifiedNs'])
      .where('t.run_id', '=', id)
      .where('t.state', '=', 'pending')
      .orderBy('t.image_id')
      .limit(limit)
      .execute();
  }

  /** Counts images done that have captions of all these recipes already. */
  async skipCaptioned(id: string, recipes: readonly number[]): Promise<number> {
    return this.#db.transaction().execute(async db => {
      const { rows } = await sql<{ image_id: number }>`SELECT t.image_id FROM run_items t
        JOIN images i ON i.id = t.image_id
        WHERE t.run_id = ${id} AND t.state = 'pending' AND (
          SELECT count(*) FROM captions c WHERE c.image_id = i.id AND c.image_sha256 = i.sha256
            AND c.recipe_id IN (SELECT value FROM json_each(${JSON.stringify(recipes)}))) = ${recipes.length}`.execute(
        db,
      );
      let seq = await lastSeq(db, id);
      for (const { image_id } of rows) {
        await db
          .updateTable('run_items')
          .set({ state: 'done', seq: ++seq })
          .where('run_id', '=', id)
          .where('image_id', '=', image_id)
          .execute();
      }
      return rows.length;
    });
  }

  /** Stores what became of some images, all or nothing. */
  async record(id: string, outcomes: readonly Outcome[], nowMs: number): Promise<void> {
    await this.#db.transaction().execute(async db => {
      let seq = await lastSeq(db, id);
      for (const outcome of outcomes) {
        const { image } = outcome;
        const failed = 'error' in outcome;
        if (!failed)
          await storeCaptions(db, { id: image.id, sha256: image.sha256! }, outcome.captions, {
            runId: id,
            nowMs,
          });
        await db
          .updateTable('run_items')
          .set({
            state: failed ? 'failed' : 'done',
            seq: ++seq,
            error: failed ? JSON.stringify(outcome.error) : null,
          })
          .where('run_id', '=', id)
          .where('image_id', '=', image.id)
          .execute();
      }
    });
  }

  /** Makes failed images pending again. */
  async retryFailed(id: string): Promise<number> {
    const { numUpdatedRows } = await this.#db
      .updateTable('run_items')
      .set({ state: 'pending', error: null })
      .where('run_id', '=', id)
      .where('state', '=', 'failed')
      .executeTakeFirst();
    return Number(numUpdatedRows);
  }

  async failures(id: string, { after, limit }: { after: number; limit: number }): Promise<RunFailurePage> {
    const rows = await this.#db
      .selectFrom('run_items as t')
      .innerJoin('images as i', 'i.id', 't.image_id')
      .select(['t.image_id as imageId', 'i.path', 't.error'])
      .where('t.run_id', '=', id)
      .where('t.state', '=', 'failed')
      .where('t.image_id', '>', after)
      .orderBy('t.image_id')
      .limit(limit + 1)
      .execute();
    const failures = rows
      .slice(0, limit)
      .map(({ error, ...row }) => ({ ...row, error: JSON.parse(error!) as ImageFailure['error'] }));
    return { failures, after: rows.length > limit ? failures.at(-1)!.imageId : null };
  }

  /** Results after `seq`, in the order in which they came. Images that had their captions before have no event. */
  async results(id: string, seq: number, limit: number): Promise<NumberedRunEvent[]> {
    const items = await this.#db
      .selectFrom('run_items as t')
      .innerJoin('images as i', 'i.id', 't.image_id')
      .select(['t.image_id', 't.seq', 't.error', 'i.path'])
      .where('t.run_id', '=', id)
      .where('t.state', '<>', 'pending')
      .where('t.seq', '>', seq)
      .orderBy('t.seq')
      .limit(limit)
      .execute();
    if (items.length === 0) return [];
    const captions = await this.#db
      .selectFrom('captions as c')
      .innerJoin('recipes as r', 'r.id', 'c.recipe_id')
      .innerJoin('releases as l', 'l.id', 'r.release_id')
      .select(['c.id', 'c.image_id', 'c.caption', 'c.score', 'l.stage', 'l.name', 'l.sha256'])
      .where('c.run_id', '=', id)
      .where(
        'c.image_id',
        'in',
        items.map(({ image_id }) => image_id),
      )
      .orderBy('l.stage')
      .execute();
    return items.map(({ image_id, path, error, seq: at }): NumberedRunEvent => {
      if (error !== null) {
        const failure = { imageId: image_id, path, error: JSON.parse(error) as ApiError };
        return { id: at!, event: { type: 'failure', failure } };
      }
      const own = captions.filter(caption => caption.image_id === image_id);
      return {
        id: at!,
        event: {
          type: 'captions',
          imageId: image_id,
          path,
          captions: own.map(({ id: caption, caption: text, score, stage, name, sha256 }) => ({
            id: caption,
            caption: text,
            score,
            stage: stage as StageId,
            release: { name, sha256 },
          })),
        },
      };
    });
  }
}

async function lastSeq(db: StudyDatabase, id: string): Promise<number> {
  const row = await db
    .selectFrom('run_items')
    .select(eb => eb.fn.max('seq').as('seq'))
    .where('run_id', '=', id)
    .executeTakeFirst();
  return row?.seq ?? 0;
}

function stored(
  row: {
    id: string;
    state: string;
    detail: string;
    request: string;
    priority: number;
    created_by: string;
    created_ms: number;
    finished_ms: number | null;
    batch_size: number | null;
  },
  counts: { pending: number; done: number; failed: number },
): StoredRun {
  const { release, stages } = StudyRunRequest.parse(JSON.parse(row.request));
  return {
    id: row.id,
    state: row.state as StudyRunState,
    detail: row.detail,
    release,
    stages: [...new Set(stages)],
    priority: row.priority > 0 ? 'interactive' : 'bulk',
    createdBy: row.created_by,
    createdMs: row.created_ms,
    finishedMs: row.finished_ms,
    total: counts.pending + counts.done + counts.failed,
    captioned: counts.done,
    failed: counts.failed,
    batchSize: row.batch_size,
  };
}
