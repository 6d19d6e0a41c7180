/** A dataset as the tables it is read from: rows joined, images found, columns mapped. */
import { dirname } from 'node:path';
import { DermcapError } from '@dermcap/models/errors';
import type { ImageIndex } from './image-index.js';
import { describeColumns, guessMapping } from './mapping.js';
import { toRows } from './rows.js';
import { splitOfPath } from './splits.js';
import type {
  Column,
  ColumnMapping,
  DatasetKind,
  DatasetRow,
  DatasetSource,
  MappingGuess,
  RowsOptions,
  TableRecord,
} from './source.js';
import { isEmpty, typed, type Entry, type Table } from './tables/table.js';

/** Records that a mapping is guessed from. */
const SAMPLE_RECORDS = 200;

/** A further table whose columns belong to the same images. */
export interface Join {
  table: Table;
  /** Column that both tables have; null joins by row number, from 0, in `rowColumn`. */
  key: string | null;
  rowColumn?: string;
  split?: string;
}

export interface DatasetParts {
  kind: DatasetKind;
  root: string;
  tables: Table[];
  joins?: Join[];
  /** The images below the root; asked for once. */
  index: () => Promise<ImageIndex>;
  /** Manifests that were passed over, relative to the root. */
  others?: string[];
  /** Instead of a guess. */
  fixed?: MappingGuess;
}

export class Dataset implements DatasetSource {
  readonly kind: DatasetKind;
  readonly root: string;
  readonly files: string[];
  readonly count?: number;
  readonly notes: string[];
  readonly others: string[];
  readonly #parts: DatasetParts;
  readonly #columns: string[];
  #index: Promise<ImageIndex> | null = null;
  #joined: Promise<Lookup[]> | null = null;

  constructor(parts: DatasetParts) {
    const { kind, root, tables, joins = [], others = [] } = parts;
    this.#parts = parts;
    this.kind = kind;
    this.root = root;
    this.others = others;
    this.files = [...tables, ...joins.map(join => join.table)]
      .map(table => table.file)
      .filter(file => file !== '');
    const counts = tables.map(table => table.count);
    if (counts.every(count => count !== undefined)) {
      this.count = counts.reduce((sum: number, count) => sum + count!, 0);
    }
    this.notes = [...tables, ...joins.map(join => join.table)].flatMap(table =>
      table.notes.map(note => (table.file === '' ? note : `“${table.file}”: ${note}`)),
    );
    this.#columns = [
      ...new Set([
        ...tables.flatMap(table => table.columns),
        ...joins.flatMap(({ table, key }) => (key === null ? ['split'] : table.columns)),
      ]),
    ];
  }

  async columns(): Promise<Column[]> {
    return describeColumns(this.#columns, await this.preview(SAMPLE_RECORDS), this.#imageColumns());
  }

  async preview(n: number): Promise<TableRecord[]> {
    const records: TableRecord[] = [];
    if (n <= 0) return records;
    for (const table of this.#parts.tables) {
      for await (const entry of this.#entries(table)) {
        if (entry.fault === undefined) records.push(entry.values);
        if (records.length === n) return records;
      }
    }
    return records;
  }

  async guess(): Promise<MappingGuess> {
    if (this.#parts.fixed) return this.#parts.fixed;
    const sample = await this.preview(SAMPLE_RECORDS);
    const imageColumns = this.#imageColumns();
    const index = imageColumns.length > 0 ? null : await this.#images();
    return guessMapping(this.#columns, sample, {
      imageColumns,
      isImage: value => index !== null && index.has(value),
    });
  }

  async *rows({ mapping, signal }: RowsOptions = {}): AsyncGenerator<DatasetRow> {
    const chosen = mapping ?? (await this.guess()).mapping;
    this.#check(chosen);
    const held = this.#imageColumns();
    const index = chosen.image.every(column => held.includes(column)) ? null : await this.#images();
    for (const table of this.#parts.tables) {
      const folder = dirname(table.file);
      const base = folder === '.' ? '' : folder;
      const context = {
        table,
        mapping: chosen,
        split: splitOfPath(table.file),
        find: (name: string) => index!.find(name, base),
      };
      for await (const entry of this.#entries(table, signal)) {
        signal?.throwIfAborted();
        yield* await toRows(entry, context);
      }
    }
  }

  #imageColumns(): string[] {
    return [...new Set(this.#parts.tables.flatMap(table => table.imageColumns))];
  }

  #images(): Promise<ImageIndex> {
    this.#index ??= this.#parts.index();
    return this.#index;
  }

  #check({ image, captions, label, split, source, group, id }: ColumnMapping): void {
    if (image.length === 0) {
      throw new DermcapError('no-image-column', 'No column of the dataset names its images.', {
        hint: `Choose one of its columns: ${this.#columns.slice(0, 20).join(', ')}.`,
      });
    }
    const unknown = [...image, ...captions, ...label, split, source, group, id].find(
      column => column !== null && !this.#columns.includes(column),
    );
    if (unknown !== undefined && unknown !== null) {
      throw new DermcapError('no-such-column', `The dataset has no column “${unknown}”.`, {
        hint: `It has ${this.#columns.slice(0, 20).join(', ')}.`,
      });
    }
  }

  async *#entries(table: Table, signal?: AbortSignal): AsyncGenerator<Entry> {
    const { joins = [] } = this.#parts;
    if (joins.length === 0) {
      yield* table.entries(signal);
      return;
    }
    this.#joined ??= Promise.all(joins.map(readJoin));
    const lookups = await this.#joined;
    for await (const entry of table.entries(signal)) {
      for (const { key, records } of lookups) {
        const cell = key === null ? String(entry.row - 1) : entry.values[key];
        const further = isEmpty(cell) ? undefined : records.get(String(cell).trim());
        if (!further) continue;
        for (const [column, value] of Object.entries(further)) {
          if (isEmpty(entry.values[column])) entry.values[column] = value;
        }
      }
      yield entry;
    }
  }
}

interface Lookup {
  key: string | null;
  records: Map<string, TableRecord>;
}

async function readJoin({ table, key, rowColumn, split }: Join): Promise<Lookup> {
  const records = new Map<string, TableRecord>();
  for await (const { values } of table.entries()) {
    const cell = values[key ?? rowColumn!];
    if (isEmpty(cell)) continue;
    const record: TableRecord = Object.create(null) as TableRecord;
    if (key === null) record['split'] = split!;
    else {
      for (const [column, value] of Object.entries(values)) {
        if (column !== key) record[column] = table.kind === 'csv' ? typed(value) : value;
      }
    }
    records.set(String(cell).trim(), record);
  }
  return { key, records };
}
