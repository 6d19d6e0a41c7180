/** From a filter of the API to SQL over `i` (images) and `v` (metadata_values). */
import { sql, type Expression, type RawBuilder, type SqlBool } from 'kysely';
import type { ColumnCondition, ImageFilter } from '../contract/studies.js';
import { storedValue, type Columns } from './columns.js';

type Condition = Expression<SqlBool>;

/** Who asks, which decides what `rated: 'me'` means. */
export interface Asker {
  username: string;
}

/**
 * All conditions of a filter joined.
 * @throws DermcapError `no-such-column`
 */
export function filterSql(filter: ImageFilter, columns: Columns, { username }: Asker): Condition {
  const conditions: Condition[] = [];
  const add = (condition: RawBuilder<SqlBool>): void => void conditions.push(condition);
  if (filter.text !== undefined) {
    const words = searchWords(filter.text);
    if (words !== null) {
      add(sql`i.id IN (SELECT rowid FROM image_text WHERE image_text MATCH ${words}
        UNION SELECT c.image_id FROM caption_text t JOIN captions c ON c.id = t.rowid
          WHERE caption_text MATCH ${words})`);
    }
  }
  for (const condition of filter.where ?? []) conditions.push(...columnSql(condition, columns));
  if (filter.ids) add(sql`i.id IN (SELECT value FROM json_each(${JSON.stringify(filter.ids)}))`);
  for (const { stage, is } of filter.captioned ?? []) {
    const captioned = sql`(SELECT c.image_id FROM captions c JOIN images own ON own.id = c.image_id
      WHERE c.image_sha256 = own.sha256 AND c.recipe_id IN (
        SELECT r.id FROM recipes r JOIN releases l ON l.id = r.release_id WHERE l.stage = ${stage}))`;
    add(is ? sql`i.id IN ${captioned}` : sql`i.id NOT IN ${captioned}`);
  }
  switch (filter.rated) {
    case 'me':
      add(sql`i.id IN (SELECT image_id FROM current_ratings WHERE annotator = ${username})`);
      break;
    case 'not-me':
      add(sql`i.id NOT IN (SELECT image_id FROM current_ratings WHERE annotator = ${username})`);
      break;
    case 'anyone':
      add(sql`i.id IN (SELECT image_id FROM current_ratings)`);
      break;
    case 'nobody':
      add(sql`i.id NOT IN (SELECT image_id FROM current_ratings)`);
      break;
  }
  if (filter.duplicate === 'exact') add(shared('sha256'));
  if (filter.duplicate === 'similar') add(shared('perceptual_hash'));
  if (filter.failedInRun !== undefined) {
    add(
      sql`i.id IN (SELECT image_id FROM run_items WHERE run_id = ${filter.failedInRun} AND state = 'failed')`,
    );
  }
  return conditions.length === 0 ? sql<SqlBool>`1` : sql<SqlBool>`${sql.join(conditions, sql` AND `)}`;
}

/** Values that more than one image has; the index alone answers. */
function shared(column: 'sha256' | 'perceptual_hash'): RawBuilder<SqlBool> {
  const name = sql.ref(column);
  return sql`i.${name} IN (SELECT ${name} FROM images WHERE ${name} IS NOT NULL GROUP BY ${name} HAVING count(*) > 1)`;
}

function columnSql(condition: ColumnCondition, columns: Columns): Condition[] {
  const column = columns.sql(condition.column);
  const found: RawBuilder<SqlBool>[] = [];
  if (condition.in) found.push(oneOf(column, condition.in));
  if (condition.notIn) found.push(sql`NOT ${oneOf(column, condition.notIn)}`);
  // SQLite orders numbers before texts: a bound speaks of values of its own kind only.
  const bound = (value: number | string, operator: '>=' | '<='): RawBuilder<SqlBool> =>
    typeof value === 'number'
      ? sql`(typeof(${column}) IN ('integer', 'real') AND ${column} ${sql.raw(operator)} ${value})`
      : sql`(typeof(${column}) = 'text' AND ${column} ${sql.raw(operator)} ${value})`;
  if (condition.min !== undefined) found.push(bound(condition.min, '>='));
  if (condition.max !== undefined) found.push(bound(condition.max, '<='));
  return found;
}

function oneOf(column: RawBuilder<unknown>, values: NonNullable<ColumnCondition['in']>): RawBuilder<SqlBool> {
  const stored = values.map(storedValue);
  const present = stored.filter(value => value !== null);
  const list = sql`coalesce(${column} IN (SELECT value FROM json_each(${JSON.stringify(present)})), 0)`;
  return present.length < stored.length ? sql`(${list} OR ${column} IS NULL)` : sql`(${list})`;
}

/**
 * Words for FTS5, all of which must be there; null when there are none. Quoted, so that nothing a person types
 * is taken for its query language (https://sqlite.org/fts5.html, section 3).
 */
export function searchWords(text: string): string | null {
  const words = text.match(/[\p{L}\p{N}\p{M}]+/gu);
  if (!words) return null;
  return words.map((word, at) => `"${word}"${at === words.length - 1 ? '*' : ''}`).join(' ');
}
