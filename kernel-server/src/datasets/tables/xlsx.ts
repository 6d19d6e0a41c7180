/**
 * Excel workbooks, read by read-excel-file. A workbook is read whole, so its size is bounded: before it is
 * unpacked by what its zip directory says, afterwards by its rows.
 */
import { open, readFile, stat } from 'node:fs/promises';
import { DermcapError } from '@dermcap/models/errors';
import { unzipSync } from 'fflate';
import readWorkbook, { type Sheet } from 'read-excel-file/node';
import { columnNames, damaged, emptyRecord, toScalar, unsupported, type Entry, type Table } from './table.js';

const MAX_FILE_BYTES = 256_000_000;
/** Of all parts together, unpacked: beyond this a workbook is a zip bomb or no manifest (CWE-409). */
const MAX_UNPACKED_BYTES = 1_000_000_000;
/** Of all sheets together, empty ones too: a hundred thousand rows of fifty columns. */
const MAX_CELLS = 5_000_000;
/** A header stands within the first rows: titles, notes and group names may stand above it. */
const HEADER_ROWS = 10;

/**
 * The first sheet with a header, or the one whose header is known.
 * @param isKnown whether a row of cells is the header of a known dataset
 * @throws DermcapError `dataset-damaged`, or `dataset-unsupported` for .xls and encrypted workbooks
 */
export async function openXlsx(
  path: string,
  file: string,
  isKnown: (header: readonly string[]) => boolean = () => false,
): Promise<Table> {
  const sheets = await readSheets(path, file);
  const found = sheets
    .map(sheet => ({ sheet, header: headerRow(sheet.data, isKnown) }))
    .filter(({ header }) => header !== null);
  const chosen = found.find(({ sheet, header }) => isKnown(texts(sheet.data[header!]!))) ?? found[0];
  if (!chosen) throw damaged(file, '', 'no sheet has a header and rows');
  const { data, sheet: name } = chosen.sheet;
  const header = chosen.header!;
  const width = Math.max(...data.slice(header, header + 1000).map(row => row.length));
  const columns = columnNames(
    file,
    Array.from({ length: width }, (_, index) => data[header]![index] ?? null),
  );
  const notes = [];
  if (sheets.length > 1) notes.push(`The sheet “${name}” was read.`);
  if (header > 0) notes.push(`Its header stands in row ${header + 1}.`);
  return {
    kind: 'xlsx',
    file,
    count: data.slice(header + 1).filter(row => row.some(cell => cell !== null)).length,
    notes,
    imageColumns: [],
    columns,
    async *entries(signal): AsyncGenerator<Entry> {
      let row = 0;
      for (const cells of data.slice(header + 1)) {
        signal?.throwIfAborted();
        if (cells.every(cell => cell === null)) continue;
        const values = emptyRecord();
        for (const [index, column] of columns.entries()) values[column] = toScalar(cells[index]);
        yield { row: ++row, values };
      }
    },
  };
}

async function readSheets(path: string, file: string): Promise<Sheet[]> {
  const { size } = await stat(path);
  if (size > MAX_FILE_BYTES) throw tooLarge(file);
  const start = await readStart(path);
  if (start.subarray(0, 4).equals(Buffer.from([0xd0, 0xcf, 0x11, 0xe0]))) {
    throw unsupported(
      file,
      'is an old (.xls) or a protected Excel workbook',
      'Save it as .xlsx without a password, or as CSV.',
    );
  }
  if (start.subarray(0, 2).toString('latin1') !== 'PK')
    throw damaged(file, '', 'it is not an Excel workbook');
  const bytes = await readFile(path);
  try {
    checkSize(bytes, file);
    return await readWorkbook(bytes);
  } catch (error) {
    if (error instanceof DermcapError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw damaged(file, '', `it cannot be read as an Excel workbook (${why})`, error);
  }
}

function tooLarge(file: string): DermcapError {
  return unsupported(
    file,
    'is too large for a workbook that is read whole',
    'Save the sheet as CSV: that has no limit.',
  );
}

async function readStart(path: string): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(8), 0, 8, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/**
 * Refuses what would not fit into memory: by what the zip's directory says of sizes, then by the place of the
 * farthest cell, as the library makes room for all cells before it. A stray space in the last column is enough.
 */
function checkSize(bytes: Buffer, file: string): void {
  let total = 0;
  const sheets = unzipSync(bytes, {
    filter: ({ name, originalSize }) => {
      total += originalSize;
      if (total > MAX_UNPACKED_BYTES) throw tooLarge(file);
      return /^xl\/worksheets\/[^/]+\.xml$/i.test(name);
    },
  });
  let cells = 0;
  for (const xml of Object.values(sheets)) {
    const { rows, columns, reference } = extent(Buffer.from(xml.buffer, xml.byteOffset, xml.byteLength));
    cells += rows * columns;
    if (cells > MAX_CELLS) {
      throw unsupported(
        file,
        `has a cell at ${reference}, so that the sheet spans ${rows} rows by ${columns} columns`,
        'Delete what stands far outside the table, or save the table as CSV.',
      );
    }
  }
}

/** Characters that are scanned at once, and how many of them again with the next. */
const SCAN_BYTES = 1 << 20;
const OVERLAP_BYTES = 64;

/** The largest row and column of the `r` attributes of rows and cells (ECMA-376, part 1, 18.3.1.4 and 18.3.1.73). */
function extent(xml: Buffer): { rows: number; columns: number; reference: string } {
  let rows = 0;
  let columns = 0;
  let reference = '';
  for (let at = 0; at < xml.length; at += SCAN_BYTES - OVERLAP_BYTES) {
    const text = xml.toString('latin1', at, Math.min(at + SCAN_BYTES, xml.length));
    for (const [, letters, digits] of text.matchAll(/\br=["']([A-Za-z]{0,3})(\d{1,7})["']/g)) {
      const row = Number(digits);
      const column = [...letters!.toUpperCase()].reduce(
        (sum, letter) => sum * 26 + letter.charCodeAt(0) - 64,
        0,
      );
      if (row > rows || column > columns) reference = `${letters}${digits}`;
      rows = Math.max(rows, row);
      columns = Math.max(columns, column);
    }
  }
  return { rows, columns, reference };
}

function texts(row: readonly unknown[]): string[] {
  return row.map(cell => (typeof cell === 'string' ? cell.trim() : String(cell ?? '')));
}

/** The row that names the columns: known, or the first that is text nearly as wide as the widest. */
function headerRow(data: Sheet['data'], isKnown: (header: readonly string[]) => boolean): number | null {
  const top = data.slice(0, HEADER_ROWS);
  const known = top.findIndex(row => isKnown(texts(row)));
  if (known !== -1) return known;
  const filled = (row: readonly unknown[]): number => row.filter(cell => cell !== null).length;
  const widest = Math.max(0, ...data.slice(0, 2 * HEADER_ROWS).map(filled));
  if (data.length < 2 || widest === 0) return null;
  const index = top.findIndex(
    row => filled(row) >= 0.6 * widest && row.filter(cell => typeof cell === 'string').length >= 0.6 * widest,
  );
  return index === -1 ? null : index;
}
