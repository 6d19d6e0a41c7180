/**
 * The columns that images are filtered and ordered by: those of the images table, and one of
 * `metadata_values` for each name in the metadata.
 */
import { DermcapError } from '@dermcap/models/errors';
import { sql, type Kysely, type RawBuilder, type Transaction } from 'kysely';
import type { StudyDatabase } from './open.js';
import type { StudyTables } from './tables.js';

/** SQLite takes 2,000 columns; metadata beyond is kept, but not found by. */
const MAX_METADATA_COLUMNS = 1900;
/** Longer texts are cut where they are only compared and counted. */
export const MAX_VALUE_LENGTH = 300;

export const METADATA_PREFIX = 'meta.';

const IMAGE_COLUMNS: Record<string, keyof StudyTables['images']> = {
  id: 'id',
  path: 'path',
  state: 'state',
  label: 'label',
  split: 'split',
  source: 'source',
  group: 'group_id',
  datasetId: 'dataset_id',
  sizeBytes: 'size_bytes',
  width: 'width',
  height: 'height',
};

/** A column by its name in the API, as SQL over `i` (images) and `v` (metadata_values). */
export type ColumnSql = RawBuilder<unknown>;

export class Columns {
  readonly #metadata: ReadonlyMap<string, number>;

  constructor(metadata: ReadonlyMap<string, number>) {
    this.#metadata = metadata;
  }

  static async load(db: StudyDatabase): Promise<Columns> {
    const rows = await db.selectFrom('metadata_columns').select(['id', 'name']).orderBy('id').execute();
    return new Columns(new Map(rows.map(({ id, name }) => [name, id])));
  }

  /** Names in the order in which the dataset brought them. */
  list(): { name: string; metadata: boolean }[] {
    return [
      ...Object.keys(IMAGE_COLUMNS).map(name => ({ name, metadata: false })),
      ...[...this.#metadata.keys()].map(name => ({ name: METADATA_PREFIX + name, metadata: true })),
    ];
  }

  /** @throws DermcapError `no-such-column` */
  sql(name: string): ColumnSql {
    const column = Object.hasOwn(IMAGE_COLUMNS, name) ? IMAGE_COLUMNS[name] : undefined;
    if (column !== undefined) return sql.ref(`i.${column}`);
    if (name.startsWith(METADATA_PREFIX)) {
      const id = this.#metadata.get(name.slice(METADATA_PREFIX.length));
      if (id !== undefined) return sql.ref(`v.${valueColumn(id)}`);
    }
    throw new DermcapError('no-such-column', `The study has no column “${name.slice(0, 100)}”.`, {
      hint: 'GET …/columns lists them.',
    });
  }
}

export function valueColumn(id: number): string {
  return `c${id}`;
}

/** Ids of metadata columns by name, those that are new made first. Names beyond the limit have none. */
export async function ensureColumns(
  db: Kysely<StudyTables> | Transaction<StudyTables>,
  names: Iterable<string>,
): Promise<Map<string, number>> {
  const rows = await db.selectFrom('metadata_columns').select(['id', 'name']).execute();
  const known = new Map(rows.map(({ id, name }) => [name, id]));
  for (const name of names) {
    if (known.has(name) || known.size >= MAX_METADATA_COLUMNS) continue;
    const { id } = await db
      .insertInto('metadata_columns')
      .values({ name })
      .returning('id')
      .executeTakeFirstOrThrow();
    await sql`ALTER TABLE metadata_values ADD COLUMN ${sql.ref(valueColumn(id))}`.execute(db);
    known.set(name, id);
  }
  return known;
}

/** A metadata value as `metadata_values` keeps it; filters are made the same way. */
export function storedValue(value: string | number | boolean | null): string | number | null {
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'string') return value === '' ? null : value.slice(0, MAX_VALUE_LENGTH);
  return value;
}
