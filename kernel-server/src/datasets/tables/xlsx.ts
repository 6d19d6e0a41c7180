/**
 * Excel workbooks, read by read-excel-file. A workbook is read whole, so its size is bounded: before it is
 * unpacked by what its zip directory says, afterwards by its rows.
 */
import { open, readFile, stat } from 'node:fs/promises';
import type { DermcapError } from '@dermcap/models/errors';
import readWorkbook, { type Sheet } from 'read-excel-file/node';
import { columnNames, damaged, emptyRecord, toScalar, unsupported, type Entry, type Table } from './table.js';

const MAX_FILE_BYTES = 256_000_000;
/** Of all parts together, unpacked: beyond this a workbook is a zip bomb or no manifest (CWE-409). */
const MAX_UNPACKED_BYTES = 1_000_000_000;
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
  if (unpackedBytes(bytes) > MAX_UNPACKED_BYTES) throw tooLarge(file);
  try {
    return await readWorkbook(bytes);
  } catch (error) {
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

/** The sum of the sizes in the zip's central directory (PKWARE APPNOTE 4.3.12: the size stands at offset 24). */
function unpackedBytes(zip: Buffer): number {
  const signature = Buffer.from('PK\x01\x02', 'latin1');
  let total = 0;
  for (
    let at = zip.indexOf(signature);
    at !== -1 && at + 46 <= zip.length;
    at = zip.indexOf(signature, at + 46)
  ) {
    total += zip.readUInt32LE(at + 24);
  }
  return total;
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
