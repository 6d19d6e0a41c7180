/**
 * What every format is read into: a table of entries. One file per format beside this one; each yields its
 * entries one after the other, so that the size of a file does not show in memory.
 */
import { basename } from 'node:path';
import { DermcapError } from '@dermcap/models/errors';
import type { DatasetKind, EmbeddedImage, Scalar, TableRecord } from '../source.js';

/** An image that lies within the table's own file, by the column that holds it. */
export interface HeldImage {
  name: string;
  embedded: EmbeddedImage;
}

export interface Entry {
  /** From 1, without the header. */
  row: number;
  /** As they stand: the cells of text formats are text. Empty cells are null. */
  values: TableRecord;
  images?: Record<string, HeldImage>;
  /** What is wrong with this row alone, as the second half of a sentence: “…, row 3: FAULT.” */
  fault?: string;
}

export interface Table {
  kind: DatasetKind;
  /** Relative to the dataset's root; empty for a folder. */
  file: string;
  count?: number;
  /** What a person should know of how it was read: a guessed encoding, the sheet chosen. */
  notes: string[];
  /** Columns that hold images rather than name them. */
  imageColumns: string[];
  columns: string[];
  entries(signal?: AbortSignal): AsyncIterable<Entry>;
}

/** More columns than any dataset has; guards against a file that is no table. */
export const MAX_COLUMNS = 10_000;

/** A file that cannot be read on, with where and why. */
export function damaged(file: string, where: string, why: string, cause?: unknown): DermcapError {
  return new DermcapError(
    'dataset-damaged',
    `“${basename(file)}”${where === '' ? '' : `, ${where}`}: ${why.replace(/\.+$/, '')}.`,
    {
      hint: 'The file may be cut short or damaged; nothing was changed.',
      ...(cause === undefined ? {} : { cause }),
    },
  );
}

export function unsupported(file: string, why: string, hint: string): DermcapError {
  return new DermcapError('dataset-unsupported', `“${basename(file)}” ${why}.`, { hint });
}

/**
 * Names for the columns of a header: trimmed, empty ones `column 3`, repeated ones `name (2)`.
 * @throws DermcapError `dataset-damaged` beyond {@link MAX_COLUMNS}
 */
export function columnNames(file: string, header: readonly unknown[]): string[] {
  if (header.length > MAX_COLUMNS) {
    throw damaged(file, 'header', `it has ${header.length} columns, which no dataset has`);
  }
  const taken = new Set<string>();
  return header.map((cell, index) => {
    const given =
      cell === null || cell === undefined
        ? ''
        : String(cell).replaceAll('\ufeff', '').replaceAll('\0', '').trim();
    const plain = given === '' ? `column ${index + 1}` : given;
    let name = plain;
    for (let copy = 2; taken.has(name); copy++) name = `${plain} (${copy})`;
    taken.add(name);
    return name;
  });
}

/** Words that stand for an empty cell: those of `pandas.read_csv`. */
const EMPTY = new Set([
  '',
  '#N/A',
  '#N/A N/A',
  '#NA',
  '-1.#IND',
  '-1.#QNAN',
  '-NaN',
  '-nan',
  '1.#IND',
  '1.#QNAN',
  '<NA>',
  'N/A',
  'NA',
  'NULL',
  'NaN',
  'None',
  'n/a',
  'nan',
  'null',
]);

/** A record to be filled: without a prototype, as a column may be called `__proto__`. */
export function emptyRecord(): TableRecord {
  return Object.create(null) as TableRecord;
}

/** Whether a cell says nothing. */
export function isEmpty(cell: Scalar | undefined): boolean {
  return cell === null || cell === undefined || (typeof cell === 'string' && EMPTY.has(cell.trim()));
}

// No leading zeros, no bare exponent: `007` and `12e5` are names more often than numbers.
const NUMBER = /^-?(?:0|[1-9]\d{0,14})(?:\.\d{1,17}(?:[eE][-+]?\d{1,3})?)?$/;

/** A cell of a text format as number, truth value or text; empty ones as null. */
export function typed(cell: Scalar | undefined): Scalar {
  if (typeof cell !== 'string') return cell ?? null;
  if (isEmpty(cell)) return null;
  const text = cell.trim();
  if (NUMBER.test(text)) return Number(text);
  if (/^true$/i.test(text)) return true;
  if (/^false$/i.test(text)) return false;
  return cell;
}

/** A value of JSON, Parquet or a sheet as a cell: lists and records become JSON text, dates ISO 8601. */
export function toScalar(value: unknown): Scalar {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : null;
    case 'bigint':
      return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
    case 'undefined':
      return null;
  }
  if (value === null) return null;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : isoDate(value);
  if (value instanceof Uint8Array) return `[${value.byteLength} bytes]`;
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'bigint' || inner instanceof Uint8Array ? toScalar(inner) : inner,
  );
}

/** Midnight is a date without a time. */
function isoDate(date: Date): string {
  const text = date.toISOString();
  return text.endsWith('T00:00:00.000Z') ? text.slice(0, 10) : text;
}
