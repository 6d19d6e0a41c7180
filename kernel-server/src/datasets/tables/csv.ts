/** Comma-, tab-, semicolon- or bar-separated text with a header (RFC 4180, and what is written in its name). */
import { Readable } from 'node:stream';
import { CsvError, parse, type Options } from 'csv-parse';
import { columnNames, damaged, emptyRecord, isEmpty, type Entry, type Table } from './table.js';
import { readHead, readText, sniffEncoding, type Encoding } from './text.js';

const DELIMITERS = [',', '\t', ';', '|'];
/** A row longer than this is a quote that was never closed (CWE-770). */
const MAX_ROW_CHARACTERS = 4_000_000;
const HEAD_CHARACTERS = 65_536;
const SAMPLE_ROWS = 20;
/** What spreadsheets write above the header to say which delimiter follows. */
const SEPARATOR_LINE = /^sep=(.)\r?\n/i;
const IMAGE_NAME = /\.(?:jpe?g|png|tiff?|webp|bmp|dcm)$/i;

/** What csv-parse yields under `info: true`. */
interface Parsed {
  record: string[];
  info: { lines: number };
}

/**
 * @param path real path
 * @param file what rows are said to stand in, relative to the dataset's root
 * @throws DermcapError `dataset-damaged` when it has no header or is no text
 */
export async function openCsv(path: string, file: string, signal?: AbortSignal): Promise<Table> {
  const encoding = await sniffEncoding(path, signal);
  const head = await readHead(path, encoding, HEAD_CHARACTERS);
  if (head.includes('\0')) throw damaged(file, '', 'it is not text');
  const delimiter = SEPARATOR_LINE.exec(head)?.[1] ?? guessDelimiter(head, /\.tsv(?:\.gz)?$/i.test(path));
  const [header, ...rows] = await firstRecords(path, file, encoding, delimiter);
  if (!header) throw damaged(file, '', 'it is empty');
  // A file without a header begins with an image.
  const headerless = header.some(cell => IMAGE_NAME.test(cell.trim()));
  // R writes the names of rows without a name for their column.
  const rowNames =
    !headerless &&
    rows.length > 1 &&
    rows.every(row => row.length === header.length + 1 && !isEmpty(row.at(-1)));
  const columns = columnNames(file, headerless ? header.map(() => '') : rowNames ? ['', ...header] : header);
  return {
    kind: 'csv',
    file,
    notes: [
      ...(encoding.note === null ? [] : [encoding.note]),
      ...(headerless ? ['It has no header: its columns are numbered.'] : []),
    ],
    imageColumns: [],
    columns,
    entries: signal => entries(path, file, encoding, delimiter, columns, headerless, signal),
  };
}

function options(delimiter: string): Options {
  return {
    delimiter,
    bom: false,
    info: true,
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true,
    // `5" wide` in a field without quotes is a quotation mark, not an error.
    relax_quotes: true,
    skip_empty_lines: true,
    max_record_size: MAX_ROW_CHARACTERS,
  };
}

async function* records(
  path: string,
  file: string,
  encoding: Encoding,
  delimiter: string,
  signal?: AbortSignal,
): AsyncGenerator<Parsed> {
  const text = Readable.from(readText(path, encoding, signal));
  const parser = parse(options(delimiter));
  // The parser rejects below with what went wrong in the text.
  text.on('error', error => parser.destroy(error));
  try {
    let first = true;
    for await (const parsed of text.pipe(parser)) {
      const { record } = parsed as Parsed;
      const separatorLine = first && SEPARATOR_LINE.test(`${record.join(delimiter)}\n`);
      first = false;
      if (!separatorLine) yield parsed as Parsed;
    }
  } catch (error) {
    if (error instanceof CsvError) throw damaged(file, where(error), reason(error), error);
    throw error;
  } finally {
    text.destroy();
    parser.destroy();
  }
}

/** The first lines that are not empty, the header and up to {@link SAMPLE_ROWS} rows. */
async function firstRecords(
  path: string,
  file: string,
  encoding: Encoding,
  delimiter: string,
): Promise<string[][]> {
  const found: string[][] = [];
  try {
    for await (const { record } of records(path, file, encoding, delimiter)) {
      if (record.some(cell => cell.trim() !== '')) found.push(record);
      if (found.length > SAMPLE_ROWS) break;
    }
  } catch (error) {
    // Damage further down is told when the rows are read.
    if (found.length === 0) throw error;
  }
  return found;
}

async function* entries(
  path: string,
  file: string,
  encoding: Encoding,
  delimiter: string,
  columns: readonly string[],
  headerless: boolean,
  signal?: AbortSignal,
): AsyncGenerator<Entry> {
  let row = headerless ? 0 : -1;
  for await (const { record } of records(path, file, encoding, delimiter, signal)) {
    if (record.every(cell => cell.trim() === '')) continue;
    if (++row === 0) continue;
    const values = emptyRecord();
    for (const [index, column] of columns.entries()) {
      const cell = record[index];
      values[column] = cell === undefined || cell === '' ? null : cell;
    }
    // Spreadsheets leave out or add empty cells at the end of a row; anything else is a row out of step.
    const surplus = record.slice(columns.length).some(cell => !isEmpty(cell));
    yield surplus
      ? { row, values, fault: `it has ${record.length} fields where the header has ${columns.length}` }
      : { row, values };
  }
}

/** The delimiter that cuts the first lines into most fields of equal number. */
function guessDelimiter(head: string, preferTab: boolean): string {
  const lines = head
    // What stands in quotes cuts nothing.
    .replace(/"(?:[^"]|"")*"/g, '')
    .split(/\r\n|\n|\r/)
    .filter(line => line !== '')
    .slice(0, 20);
  const [first = ''] = lines;
  const scored = DELIMITERS.map(delimiter => {
    const fields = first.split(delimiter).length;
    const agreeing = lines.filter(line => line.split(delimiter).length === fields).length;
    const bonus = preferTab && delimiter === '\t' && fields > 1 ? 1000 : 0;
    return { delimiter, score: fields === 1 ? 0 : fields * (agreeing / lines.length) + bonus };
  });
  return scored.reduce((best, one) => (one.score > best.score ? one : best)).delimiter;
}

function where(error: CsvError): string {
  const { records, lines } = error as CsvError & { records?: number; lines?: number };
  const row = typeof records === 'number' && records > 0 ? `row ${records}` : 'header';
  return typeof lines === 'number' ? `${row} (line ${lines})` : row;
}

function reason(error: CsvError): string {
  switch (error.code) {
    case 'CSV_QUOTE_NOT_CLOSED':
      return 'a quotation mark is opened and never closed';
    case 'CSV_MAX_RECORD_SIZE':
      return 'the row does not end; a quotation mark is probably not closed';
    case 'CSV_INVALID_CLOSING_QUOTE':
      return 'text follows a closing quotation mark';
    default:
      return error.message.split('\n')[0]!;
  }
}
