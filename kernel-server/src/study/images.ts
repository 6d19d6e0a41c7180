/** A study's images: pages in any order, facets, and what is known of one. */
import { DermcapError } from '@dermcap/models/errors';
import { sql, type SqlBool } from 'kysely';
import type {
  Facet,
  FacetRequest,
  ImageFilter,
  Scalar,
  StageId,
  StudyImage,
  StudyImagePage,
  StudyImageSearch,
} from '../contract/index.js';
import { Columns, METADATA_PREFIX } from './columns.js';
import { filterSql, type Asker } from './filter.js';
import { groupBy } from './group-by.js';
import type { StudyDatabase } from './open.js';

/**
 * The tables that conditions speak of. Where they speak of metadata, its narrow table is gone through first
 * (SQLite keeps the order of a CROSS JOIN): an image's own row is several times as long.
 */
function tables(filter: ImageFilter, ...columns: string[]) {
  const named = [...columns, ...(filter.where ?? []).map(({ column }) => column)];
  return named.some(name => name.startsWith(METADATA_PREFIX))
    ? sql`metadata_values v CROSS JOIN images i ON i.id = v.image_id`
    : sql`images i JOIN metadata_values v ON v.image_id = i.id`;
}

/**
 * One page of the images that a filter leaves.
 * @throws DermcapError `no-such-column` or `invalid-cursor`
 */
export async function imagePage(
  db: StudyDatabase,
  query: StudyImageSearch,
  asker: Asker,
): Promise<StudyImagePage> {
  const columns = await Columns.load(db);
  const matches = filterSql(query.filter, columns, asker);
  const column = columns.sql(query.sort);
  const descending = query.order === 'descending';
  const direction = sql.raw(descending ? 'DESC' : 'ASC');
  const after = query.cursor === undefined ? sql<SqlBool>`1` : afterCursor(query.cursor, column, descending);
  const order = sql`${column} ${direction} NULLS LAST, i.id ${direction}`;
  const { rows } = await sql<{
    id: number;
    at: Scalar;
  }>`SELECT i.id, ${column} AS at FROM ${tables(query.filter, query.sort)}
    WHERE ${matches} AND ${after} ORDER BY ${order} LIMIT ${query.limit + 1}
    OFFSET ${query.cursor === undefined ? query.offset : 0}`.execute(db);
  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  return {
    total: await countImages(db, query.filter, asker, columns),
    images: await describeImages(
      db,
      page.map(({ id }) => id),
      asker,
    ),
    cursor: rows.length > query.limit && last ? encodeCursor(last.at, last.id) : null,
  };
}

export async function countImages(
  db: StudyDatabase,
  filter: ImageFilter,
  asker: Asker,
  columns?: Columns,
): Promise<number> {
  if (Object.keys(filter).length === 0) {
    const { n } = await db
      .selectFrom('images')
      .select(eb => eb.fn.countAll<number>().as('n'))
      .executeTakeFirstOrThrow();
    return n;
  }
  const matches = filterSql(filter, columns ?? (await Columns.load(db)), asker);
  const { rows } = await sql<{
    n: number;
  }>`SELECT count(*) AS n FROM ${tables(filter)} WHERE ${matches}`.execute(db);
  return rows[0]!.n;
}

/** Ids of all images that a filter leaves, in the order in which they came into the study. */
export async function imageIds(db: StudyDatabase, filter: ImageFilter, asker: Asker): Promise<number[]> {
  const matches = filterSql(filter, await Columns.load(db), asker);
  const { rows } = await sql<{
    id: number;
  }>`SELECT i.id FROM ${tables(filter)} WHERE ${matches} ORDER BY i.id`.execute(db);
  return rows.map(({ id }) => id);
}

/** Null comes last in both directions, so that the images that say nothing do not stand in the way. */
function afterCursor(cursor: string, column: ReturnType<Columns['sql']>, descending: boolean) {
  const { at, id } = decodeCursor(cursor);
  const beyond = sql.raw(descending ? '<' : '>');
  if (at === null) return sql<SqlBool>`(${column} IS NULL AND i.id ${beyond} ${id})`;
  return sql<SqlBool>`(${column} IS NULL OR ${column} ${beyond} ${at} OR (${column} = ${at} AND i.id ${beyond} ${id}))`;
}

function encodeCursor(at: Scalar, id: number): string {
  return Buffer.from(JSON.stringify([at, id])).toString('base64url');
}

function decodeCursor(cursor: string): { at: string | number | null; id: number } {
  try {
    const [at, id, ...rest] = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as unknown[];
    const known = at === null || typeof at === 'string' || (typeof at === 'number' && Number.isFinite(at));
    if (known && Number.isSafeInteger(id) && rest.length === 0) {
      return { at: at as string | number | null, id: id as number };
    }
  } catch {
    // Said below.
  }
  throw new DermcapError('invalid-cursor', 'The cursor is not one that a page of images gave.', {
    hint: 'Ask for the first page without a cursor.',
  });
}

/** How often each value of some columns occurs, each column under the conditions on all others. */
export async function facets(db: StudyDatabase, query: FacetRequest, asker: Asker): Promise<Facet[]> {
  const columns = await Columns.load(db);
  const found: Facet[] = [];
  for (const name of new Set(query.columns)) {
    const where = query.filter.where?.filter(({ column }) => column !== name);
    const filter = where ? { ...query.filter, where } : query.filter;
    const matches = filterSql(filter, columns, asker);
    const column = columns.sql(name);
    const { rows } = await sql<{
      value: Scalar;
      count: number;
      distinct: number;
      min: number | null;
      max: number | null;
    }>`
      WITH counted AS MATERIALIZED (
        SELECT ${column} AS value, count(*) AS count FROM ${tables(filter, name)} WHERE ${matches} GROUP BY ${column})
      SELECT value, count, (SELECT count(*) FROM counted) AS "distinct",
        (SELECT min(value) FROM counted WHERE typeof(value) IN ('integer', 'real')) AS min,
        (SELECT max(value) FROM counted WHERE typeof(value) IN ('integer', 'real')) AS max
      FROM counted ORDER BY count DESC, value LIMIT ${query.limit}`.execute(db);
    const [first] = rows;
    found.push({
      column: name,
      values: rows.map(({ value, count }) => ({ value, count })),
      distinct: first?.distinct ?? 0,
      min: first?.min ?? null,
      max: first?.max ?? null,
    });
  }
  return found;
}

/**
 * One image.
 * @throws DermcapError `no-such-image`
 */
export async function oneImage(db: StudyDatabase, id: number, asker: Asker): Promise<StudyImage> {
  const [image] = await describeImages(db, [id], asker);
  if (!image) throw noSuchImage(id);
  return image;
}

export function noSuchImage(id: number): DermcapError {
  return new DermcapError('no-such-image', `The study has no image ${id}.`);
}

/** Images in the order of their ids given; ids of none are left out. */
async function describeImages(db: StudyDatabase, ids: number[], asker: Asker): Promise<StudyImage[]> {
  if (ids.length === 0) return [];
  const images = await db.selectFrom('images').selectAll().where('id', 'in', ids).execute();
  const references = await db
    .selectFrom('reference_captions')
    .select(['image_id', 'text', 'column_name as column'])
    .where('image_id', 'in', ids)
    .orderBy('id')
    .execute();
  const captions = await newestCaptions(db, ids);
  const raters = await db
    .selectFrom('current_ratings')
    .select(['image_id', 'annotator'])
    .distinct()
    .where('image_id', 'in', ids)
    .execute();
  const blind = new Set(await blindImages(db, asker.username, ids));
  const parts = {
    references: groupBy(references, row => row.image_id),
    captions: groupBy(captions, row => row.image_id),
    raters: groupBy(raters, row => row.image_id),
  };
  const described = new Map(
    images.map(({ id, metadata, group_id, dataset_id, size_bytes, ...image }): [number, StudyImage] => [
      id,
      {
        id,
        path: image.path,
        name: image.path.slice(image.path.lastIndexOf('/') + 1),
        state: image.state,
        reason: image.reason,
        label: image.label,
        split: image.split,
        source: image.source,
        group: group_id,
        datasetId: dataset_id,
        sha256: image.sha256,
        sizeBytes: size_bytes,
        width: image.width,
        height: image.height,
        metadata: JSON.parse(metadata) as StudyImage['metadata'],
        references: (parts.references.get(id) ?? []).map(({ text, column }) => ({ text, column })),
        captions: blind.has(id)
          ? []
          : (parts.captions.get(id) ?? []).map(({ id: caption, name, sha256, ...rest }) => ({
              id: caption,
              stage: rest.stage as StageId,
              caption: rest.caption,
              score: rest.score,
              release: { name, sha256 },
            })),
        blind: blind.has(id),
        raters: parts.raters.get(id)?.length ?? 0,
        ratedByMe: parts.raters.get(id)?.some(({ annotator }) => annotator === asker.username) ?? false,
      },
    ]),
  );
  return ids.flatMap(id => described.get(id) ?? []);
}

/** The newest caption of every stage, of the bytes that the images have now. */
function newestCaptions(db: StudyDatabase, ids: number[]) {
  return (
    db
      .selectFrom('captions as c')
      .innerJoin('recipes as r', 'r.id', 'c.recipe_id')
      .innerJoin('releases as l', 'l.id', 'r.release_id')
      .innerJoin('images as i', join =>
        join.onRef('i.id', '=', 'c.image_id').onRef('i.sha256', '=', 'c.image_sha256'),
      )
      .select(['c.image_id', 'c.caption', 'c.score', 'l.stage', 'l.name', 'l.sha256'])
      // SQLite takes the other columns from the row that has the maximum (https://sqlite.org/lang_select.html, 2.5).
      .select(eb => eb.fn.max<number>('c.id').as('id'))
      .where('c.image_id', 'in', ids)
      .groupBy(['c.image_id', 'l.stage'])
      .orderBy('l.stage')
      .execute()
  );
}

/** Those of these images that wait, neither rated nor skipped, in a person's blind queue. */
export async function blindImages(db: StudyDatabase, username: string, ids: number[]): Promise<number[]> {
  const rows = await db
    .selectFrom('assignment_items as t')
    .innerJoin('assignments as a', 'a.id', 't.assignment_id')
    .select('t.image_id')
    .distinct()
    .where('t.annotator', '=', username)
    .where('t.image_id', 'in', ids)
    .where('a.state', '=', 'open')
    .where('t.skipped', 'is', null)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('current_ratings as c').select('c.id').whereRef('c.item_id', '=', 't.id'))),
    )
    .execute();
  return rows.map(({ image_id }) => image_id);
}
