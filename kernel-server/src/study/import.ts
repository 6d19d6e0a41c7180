/**
 * Images into a study, from any dataset. What is there already is brought up to date, nothing comes twice, and
 * nothing is dropped: an image that cannot be opened is kept with the reason.
 */
import { stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { DermcapError } from '@dermcap/models/errors';
import { sql, type Transaction } from 'kysely';
import pLimit from 'p-limit';
import type { ColumnMapping, DatasetRow, DatasetSource, ImageFacts } from '../datasets/source.js';
import { ensureColumns, storedValue, valueColumn } from './columns.js';
import { groupBy } from './group-by.js';
import type { StudyFile } from './open.js';
import type { StudyTables } from './tables.js';

/** Rows written together: their transaction holds everything else up for some tens of milliseconds. */
const ROWS_AT_ONCE = 250;
/** Files looked at together: enough to keep the threads that hash and decode busy. */
const FILES_AT_ONCE = 64;

/**
 * Looks at an image's bytes.
 * @throws DermcapError saying why it cannot be read
 */
export type ExamineImage = (
  source: DatasetSource,
  row: DatasetRow,
  signal?: AbortSignal,
) => Promise<ImageFacts>;

export interface ImportProgress {
  rows: number;
  /** Rows in all, where the dataset says. */
  total: number | null;
  added: number;
  updated: number;
  /** Images found again under another name. */
  moved: number;
  /** Images that cannot be opened, by state. */
  problems: Record<string, number>;
}

export interface ImportOptions {
  examine: ExamineImage;
  mapping?: ColumnMapping;
  signal?: AbortSignal;
  onProgress?: (progress: ImportProgress) => void;
  now?: () => number;
}

interface Examined {
  row: DatasetRow;
  /** Relative to the study's folder. */
  path: string;
  /** Its container relative to the study's folder too. */
  embedded: DatasetRow['embedded'];
  facts: ImageFacts | null;
  state: string;
  reason: string | null;
}

type Known = Pick<StudyTables['images'], 'path' | 'sha256' | 'modified_ns' | 'size_bytes' | 'updated_ms'> & {
  id: number;
};

/**
 * Imports all rows of a dataset. What was written before an abort or a failure stays, and importing again goes
 * on from there: files that have not changed are not read again.
 * @throws the signal's reason, or what the dataset or the study's file throws
 */
export async function importDataset(
  study: StudyFile,
  source: DatasetSource,
  options: ImportOptions,
): Promise<ImportProgress> {
  return new Importer(study, source, options).run();
}

class Importer {
  readonly #progress: ImportProgress;
  readonly #limit = pLimit(FILES_AT_ONCE);
  /** Marks what this import has touched: later than anything in the study. */
  #stamp = 0;

  constructor(
    private readonly study: StudyFile,
    private readonly source: DatasetSource,
    private readonly options: ImportOptions,
  ) {
    this.#progress = { rows: 0, total: source.count ?? null, added: 0, updated: 0, moved: 0, problems: {} };
  }

  async run(): Promise<ImportProgress> {
    const { mapping, signal, now = Date.now } = this.options;
    const newest = await this.study.db
      .selectFrom('images')
      .select(eb => eb.fn.max('updated_ms').as('ms'))
      .executeTakeFirst();
    this.#stamp = Math.max(now(), (newest?.ms ?? 0) + 1);
    const rows = this.source.rows({ ...(mapping ? { mapping } : {}), ...(signal ? { signal } : {}) });
    // One batch is looked at while the one before is written.
    let writing: Promise<void> = Promise.resolve();
    for await (const batch of batches(rows, ROWS_AT_ONCE)) {
      signal?.throwIfAborted();
      const examined = await this.#examine(batch);
      await writing;
      signal?.throwIfAborted();
      writing = this.#write(examined);
      // Told below, where it is awaited.
      writing.catch(() => undefined);
    }
    await writing;
    return this.#progress;
  }

  /** Where a path of the dataset lies, seen from the study's folder. */
  #path(path: string): string {
    return relative(this.study.folder, join(this.source.root, path)).split(sep).join('/');
  }

  async #examine(rows: DatasetRow[]): Promise<Examined[]> {
    const known = await this.#known(rows.map(({ path }) => this.#path(path)));
    return Promise.all(
      rows.map(row => this.#limit(() => this.#examineOne(row, known.get(this.#path(row.path))))),
    );
  }

  async #examineOne(row: DatasetRow, known: Known | undefined): Promise<Examined> {
    const { examine, signal } = this.options;
    const path = this.#path(row.path);
    const embedded = row.embedded && { ...row.embedded, container: this.#path(row.embedded.container) };
    const nothing = { row, path, embedded, facts: null };
    if (row.problem) return { ...nothing, state: row.problem.state, reason: row.problem.reason };
    signal?.throwIfAborted();
    if (known?.sha256 && !row.embedded && (await this.#isUnchanged(row, known))) {
      return { ...nothing, state: 'ok', reason: null };
    }
    try {
      return { ...nothing, facts: await examine(this.source, row, signal), state: 'ok', reason: null };
    } catch (error) {
      if (signal?.aborted) throw error;
      if (!(error instanceof DermcapError)) throw error;
      return { ...nothing, state: problemState(error.code), reason: error.message };
    }
  }

  async #isUnchanged(row: DatasetRow, known: Known): Promise<boolean> {
    const found = await stat(join(this.source.root, row.path), { bigint: true }).catch(() => null);
    return (
      found !== null && String(found.mtimeNs) === known.modified_ns && Number(found.size) === known.size_bytes
    );
  }

  async #known(paths: string[]): Promise<Map<string, Known>> {
    const rows = await this.study.db
      .selectFrom('images')
      .select(['id', 'path', 'sha256', 'modified_ns', 'size_bytes', 'updated_ms'])
      .where('path', 'in', paths)
      .execute();
    return new Map(rows.map(row => [row.path, row]));
  }

  async #write(examined: Examined[]): Promise<void> {
    // Rows of one image, a manifest's several captions say, are one.
    const byPath = groupBy(examined, ({ path }) => path);
    await this.#followMoves([...byPath.values()].map(group => group[0]!));
    const known = await this.#known([...byPath.keys()]);
    await this.study.db.transaction().execute(async db => {
      const images = [...byPath.values()].map(group =>
        imageRow(group, known.get(group[0]!.path), this.#stamp),
      );
      const ids = await upsert(db, images);
      await this.#writeValues(db, examined, ids);
      await this.#writeReferences(db, examined, ids, known);
      await indexText(db, [...ids.values()]);
    });
    this.#progress.rows += examined.length;
    for (const [path, group] of byPath) {
      const before = known.get(path);
      if (!before) this.#progress.added++;
      else if (before.updated_ms < this.#stamp) this.#progress.updated++;
      const { state } = group[0]!;
      if (before?.updated_ms === this.#stamp || state === 'ok') continue;
      this.#progress.problems[state] = (this.#progress.problems[state] ?? 0) + 1;
    }
    this.options.onProgress?.({ ...this.#progress, problems: { ...this.#progress.problems } });
  }

  /** An image that is new, of bytes that the study knows under a name that is gone, has been moved. */
  async #followMoves(examined: Examined[]): Promise<void> {
    const { db, folder } = this.study;
    const known = await this.#known(examined.map(({ path }) => path));
    const hashes = examined.flatMap(({ path, facts }) => (facts && !known.has(path) ? [facts.sha256] : []));
    if (hashes.length === 0) return;
    const candidates = await db
      .selectFrom('images')
      .select(['id', 'path', 'sha256'])
      .where('sha256', 'in', hashes)
      .where('updated_ms', '<', this.#stamp)
      .where('embedded', 'is', null)
      .execute();
    for (const { path, facts } of examined) {
      if (!facts || known.has(path)) continue;
      for (const [at, old] of candidates.entries()) {
        if (old.sha256 !== facts.sha256) continue;
        if (await stat(join(folder, old.path)).catch(() => null)) continue;
        candidates.splice(at, 1);
        await db.updateTable('images').set({ path }).where('id', '=', old.id).execute();
        this.#progress.moved++;
        break;
      }
    }
  }

  async #writeValues(
    db: Transaction<StudyTables>,
    examined: Examined[],
    ids: Map<string, number>,
  ): Promise<void> {
    const names = new Set(examined.flatMap(({ row }) => Object.keys(row.metadata)));
    const columns = await ensureColumns(db, names);
    const used = [...names].flatMap(name => {
      const id = columns.get(name);
      return id === undefined ? [] : [{ name, column: valueColumn(id) }];
    });
    const rows = new Map<number, unknown[]>();
    for (const { row, path } of examined) {
      const id = ids.get(path)!;
      rows.set(id, [id, ...used.map(({ name }) => storedValue(row.metadata[name] ?? null))]);
    }
    const list = ['image_id', ...used.map(({ column }) => column)];
    for (const part of chunks([...rows.values()], Math.max(1, Math.floor(30_000 / list.length)))) {
      await sql`INSERT OR REPLACE INTO metadata_values (${sql.join(list.map(name => sql.ref(name)))})
        VALUES ${sql.join(part.map(values => sql`(${sql.join(values)})`))}`.execute(db);
    }
  }

  async #writeReferences(
    db: Transaction<StudyTables>,
    examined: Examined[],
    ids: Map<string, number>,
    known: Map<string, Known>,
  ): Promise<void> {
    // Those of an earlier import may have been corrected since.
    const stale = [...known.values()]
      .filter(({ updated_ms }) => updated_ms < this.#stamp)
      .map(({ id }) => id);
    if (stale.length > 0) await db.deleteFrom('reference_captions').where('image_id', 'in', stale).execute();
    const references = examined.flatMap(({ row, path }) =>
      row.references.map(({ text, column }) => ({ image_id: ids.get(path)!, column_name: column, text })),
    );
    for (const part of chunks(references, 5000)) {
      await db.insertInto('reference_captions').orIgnore().values(part).execute();
    }
  }
}

function problemState(code: string): string {
  if (code === 'no-such-file' || code === 'image-missing') return 'missing';
  return 'unreadable';
}

type ImageRow = Omit<StudyTables['images'], 'id'>;

function imageRow(group: Examined[], known: Known | undefined, stamp: number): ImageRow {
  const { row, path, embedded, facts, state, reason } = group[0]!;
  const changed = facts !== null && !!known?.sha256 && known.sha256 !== facts.sha256;
  return {
    path,
    state: changed ? 'changed' : state,
    reason: changed ? 'Its bytes are others than when it came into the study.' : reason,
    label: row.label ?? null,
    split: row.split ?? null,
    source: row.source ?? null,
    group_id: row.group ?? null,
    dataset_id: row.id ?? null,
    sha256: facts?.sha256 ?? null,
    size_bytes: facts?.sizeBytes ?? null,
    modified_ns: facts?.modifiedNs ?? null,
    width: facts?.width ?? null,
    height: facts?.height ?? null,
    format: facts?.format ?? null,
    perceptual_hash: facts?.perceptualHash ?? null,
    embedded: embedded ? JSON.stringify(embedded) : null,
    manifest: row.manifest,
    manifest_row: row.row,
    added_ms: stamp,
    updated_ms: stamp,
    metadata: JSON.stringify(row.metadata),
  };
}

/** @returns ids by path */
async function upsert(db: Transaction<StudyTables>, images: ImageRow[]): Promise<Map<string, number>> {
  const rows = await db
    .insertInto('images')
    .values(images)
    .onConflict(conflict =>
      conflict.column('path').doUpdateSet(({ ref, fn, eb }) => {
        // What was known of the bytes stays known when they cannot be looked at, or need not be.
        const kept = <C extends keyof ImageRow>(column: C) =>
          fn.coalesce(ref(`excluded.${column}`), ref(`images.${column}`));
        return {
          state: eb
            .case()
            .when(eb.and([eb('excluded.state', '=', 'ok'), eb('images.state', '=', 'changed')]))
            .then('changed')
            .else(ref('excluded.state'))
            .end(),
          reason: eb
            .case()
            .when(eb.and([eb('excluded.state', '=', 'ok'), eb('images.state', '=', 'changed')]))
            .then(ref('images.reason'))
            .else(ref('excluded.reason'))
            .end(),
          label: ref('excluded.label'),
          split: ref('excluded.split'),
          source: ref('excluded.source'),
          group_id: ref('excluded.group_id'),
          dataset_id: ref('excluded.dataset_id'),
          sha256: kept('sha256'),
          size_bytes: kept('size_bytes'),
          modified_ns: kept('modified_ns'),
          width: kept('width'),
          height: kept('height'),
          format: kept('format'),
          perceptual_hash: kept('perceptual_hash'),
          embedded: ref('excluded.embedded'),
          manifest: ref('excluded.manifest'),
          manifest_row: ref('excluded.manifest_row'),
          updated_ms: ref('excluded.updated_ms'),
          metadata: ref('excluded.metadata'),
        };
      }),
    )
    .returning(['id', 'path'])
    .execute();
  return new Map(rows.map(({ id, path }) => [path, id]));
}

/** Brings the full-text index of some images up to date. */
async function indexText(db: Transaction<StudyTables>, ids: number[]): Promise<void> {
  await sql`INSERT OR REPLACE INTO image_text (rowid, path, metadata, reference)
    SELECT i.id, i.path,
      (SELECT group_concat(value, ' ') FROM json_each(i.metadata) WHERE value IS NOT NULL),
      (SELECT group_concat(text, ' ') FROM reference_captions r WHERE r.image_id = i.id)
    FROM images i WHERE i.id IN (SELECT value FROM json_each(${JSON.stringify(ids)}))`.execute(db);
}

async function* batches<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let batch: T[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

function* chunks<T>(items: T[], size: number): Generator<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}
