/** JSON Lines: one record a line. A `.json` file that is one list of records reads the same. */
import { readFile, stat } from 'node:fs/promises';
import { columnNames, damaged, emptyRecord, toScalar, type Entry, type Table } from './table.js';
import { readLines, readText, sniffEncoding } from './text.js';

/** A line longer than this is no row (CWE-770). */
const MAX_LINE_CHARACTERS = 16_000_000;
/** Lines that are read for the names of columns. */
const COLUMN_LINES = 1000;
/** A JSON document is parsed whole: beyond this its text would not fit into memory with the rest. */
export const MAX_JSON_BYTES = 400_000_000;

/** @throws DermcapError `dataset-damaged` when no line is a record */
export async function openJsonLines(path: string, file: string, signal?: AbortSignal): Promise<Table> {
  const encoding = await sniffEncoding(path, signal);
  async function* entries(signal?: AbortSignal): AsyncGenerator<Entry> {
    let row = 0;
    for await (const [number, line] of readLines(path, encoding, MAX_LINE_CHARACTERS, signal)) {
      if (line.trim() === '') continue;
      yield toEntry(++row, parse(line), number);
    }
  }
  const names = new Map<string, true>();
  let read = 0;
  let firstFault: string | undefined;
  for await (const { values, fault } of entries(signal)) {
    for (const name of Object.keys(values)) names.set(name, true);
    firstFault ??= fault;
    if (++read === COLUMN_LINES) break;
  }
  if (read === 0) throw damaged(file, '', 'it is empty');
  if (names.size === 0) throw damaged(file, 'row 1', firstFault ?? 'it has no fields');
  return {
    kind: 'jsonl',
    file,
    notes: encoding.note === null ? [] : [encoding.note],
    imageColumns: [],
    columns: columnNames(file, [...names.keys()]),
    entries,
  };
}

/**
 * A table of the records in a list.
 * @param records parsed JSON
 * @throws DermcapError `dataset-damaged` when no item is a record
 */
export function jsonTable(records: readonly unknown[], file: string): Table {
  const names = new Map<string, true>();
  for (const [index, record] of records.slice(0, COLUMN_LINES).entries()) {
    for (const name of Object.keys(toEntry(index + 1, record).values)) names.set(name, true);
  }
  if (names.size === 0) throw damaged(file, '', 'it holds no list of records');
  return {
    kind: 'jsonl',
    file,
    count: records.length,
    notes: [],
    imageColumns: [],
    columns: columnNames(file, [...names.keys()]),
    async *entries(signal) {
      for (const [index, record] of records.entries()) {
        signal?.throwIfAborted();
        yield toEntry(index + 1, record);
      }
    },
  };
}

/**
 * A whole JSON document.
 * @throws DermcapError `dataset-damaged` when it is not JSON or too large to be read at once
 */
export async function readJson(path: string, file: string): Promise<unknown> {
  if (/\.gz$/i.test(path)) {
    let text = '';
    for await (const piece of readText(path, await sniffEncoding(path))) {
      text += piece;
      if (text.length > MAX_JSON_BYTES) throw tooLarge(file);
    }
    return parseDocument(text, file);
  }
  if ((await stat(path)).size > MAX_JSON_BYTES) throw tooLarge(file);
  const encoding = await sniffEncoding(path);
  // `TextDecoder` leaves the byte order mark out.
  return parseDocument(new TextDecoder(encoding.name).decode(await readFile(path)), file);
}

function tooLarge(file: string): Error {
  return damaged(
    file,
    '',
    `a JSON document of more than ${MAX_JSON_BYTES / 1e6} MB is not read; JSON Lines has no limit`,
  );
}

function parseDocument(text: string, file: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    const line = faultLine(text, error);
    throw damaged(file, line === null ? '' : `line ${line}`, 'it is not valid JSON', error);
  }
}

/** The line that V8's message names by its position. */
function faultLine(text: string, error: unknown): number | null {
  const position = /position (\d+)/.exec((error as Error).message)?.[1];
  if (position === undefined)
    return /end of JSON/.test((error as Error).message) ? text.split('\n').length : null;
  return text.slice(0, Number(position)).split('\n').length;
}

/** JSON, and the `NaN` and `Infinity` that Python writes into it, as null. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!/NaN|Infinity/.test(text)) throw error;
    return JSON.parse(
      text.replace(/"(?:[^"\\]|\\.)*"|\bNaN\b|-?\bInfinity\b/g, part =>
        part.startsWith('"') ? part : 'null',
      ),
    );
  }
}

const NOT_JSON = Symbol('not JSON');

function parse(line: string): unknown {
  try {
    return parseJson(line);
  } catch {
    return NOT_JSON;
  }
}

function toEntry(row: number, record: unknown, line?: number): Entry {
  const at = line === undefined || line === row ? '' : ` (line ${line})`;
  if (record === NOT_JSON) return { row, values: emptyRecord(), fault: `it is not valid JSON${at}` };
  if (typeof record !== 'object' || record === null || Array.isArray(record)) {
    return { row, values: emptyRecord(), fault: `it is not a JSON object${at}` };
  }
  const values = emptyRecord();
  for (const [key, value] of Object.entries(record)) values[key.trim()] = toScalar(value);
  return { row, values };
}
