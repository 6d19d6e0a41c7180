/** What a study says of itself, and the views that people have saved. */
import { DermcapError } from '@dermcap/models/errors';
import type { z } from 'zod';
import type { SavedView, StudySettings } from '../contract/index.js';
import type { StudyDatabase, StudyFile } from './open.js';

export async function readSettings(db: StudyDatabase): Promise<StudySettings> {
  const rows = await db.selectFrom('settings').selectAll().orderBy('key').execute();
  return Object.fromEntries(rows.map(({ key, value }) => [key, JSON.parse(value)])) as StudySettings;
}

/** Sets those that are named; null takes one away. */
export async function writeSettings(db: StudyDatabase, settings: StudySettings): Promise<StudySettings> {
  await db.transaction().execute(async transaction => {
    for (const [key, value] of Object.entries(settings)) {
      if (value === null) await transaction.deleteFrom('settings').where('key', '=', key).execute();
      else {
        await transaction
          .insertInto('settings')
          .values({ key, value: JSON.stringify(value) })
          .onConflict(conflict => conflict.column('key').doUpdateSet({ value: JSON.stringify(value) }))
          .execute();
      }
    }
  });
  return readSettings(db);
}

/** How much a study holds. */
export async function summary({ db }: StudyFile): Promise<{
  title: string;
  images: number;
  captions: number;
  ratings: number;
  states: Record<string, number>;
}> {
  const count = async (table: 'captions' | 'current_ratings'): Promise<number> =>
    (
      await db
        .selectFrom(table)
        .select(eb => eb.fn.countAll<number>().as('n'))
        .executeTakeFirstOrThrow()
    ).n;
  const states = await db
    .selectFrom('images')
    .select(eb => ['state', eb.fn.countAll<number>().as('n')])
    .groupBy('state')
    .execute();
  const { title } = await readSettings(db);
  return {
    title: typeof title === 'string' ? title : '',
    images: states.reduce((sum, { n }) => sum + n, 0),
    captions: await count('captions'),
    ratings: await count('current_ratings'),
    states: Object.fromEntries(states.map(({ state, n }) => [state, n])),
  };
}

type View = z.infer<typeof SavedView>;

export async function listViews(db: StudyDatabase): Promise<View[]> {
  const rows = await db.selectFrom('saved_views').selectAll().orderBy('name').execute();
  return rows.map(row => ({
    name: row.name,
    query: JSON.parse(row.query) as View['query'],
    createdBy: row.created_by,
    createdMs: row.created_ms,
  }));
}

/** Saves a view under its name, in place of an earlier one. */
export async function saveView(db: StudyDatabase, view: View): Promise<View> {
  const values = {
    query: JSON.stringify(view.query),
    created_by: view.createdBy,
    created_ms: view.createdMs,
  };
  await db
    .insertInto('saved_views')
    .values({ name: view.name, ...values })
    .onConflict(conflict => conflict.column('name').doUpdateSet(values))
    .execute();
  return view;
}

/** @throws DermcapError `no-such-view` */
export async function deleteView(db: StudyDatabase, name: string): Promise<void> {
  const { numDeletedRows } = await db.deleteFrom('saved_views').where('name', '=', name).executeTakeFirst();
  if (numDeletedRows === 0n) throw new DermcapError('no-such-view', `The study has no view “${name}”.`);
}
