/**
 * Parquet, read by hyparquet. An image column as Hugging Face datasets write it, a record of `bytes` and `path`,
 * is left in the file: rows are read without its bytes, and {@link readHeldImages} fetches them when they are wanted.
 */
import { stat } from 'node:fs/promises';
import {
  asyncBufferFromFile,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type AsyncBuffer,
  type FileMetaData,
  type SchemaTree,
} from 'hyparquet';
import { compressors } from './compressors.js';
import {
  columnNames,
  damaged,
  emptyRecord,
  toScalar,
  type Entry,
  type HeldImage,
  type Table,
} from './table.js';

/** Rows decoded at once. */
const SLICE_ROWS = 8192;

/** @throws DermcapError `dataset-damaged` when it is not a Parquet file or its metadata is damaged */
export async function openParquet(path: string, file: string): Promise<Table> {
  const { buffer, metadata } = await open(path, file);
  const fields = parquetSchema(metadata).children;
  const columns = columnNames(
    file,
    fields.map(field => field.element.name),
  );
  const imageColumns = fields
    .filter(({ element, children }) => {
      const parts = children.map(child => child.element.name).sort();
      // A plain column of bytes is an image where its name says so; text has a converted or logical type.
      const plainBytes =
        element.type === 'BYTE_ARRAY' &&
        !element.converted_type &&
        !element.logical_type &&
        /image|img|photo|picture|jpe?g|png/i.test(element.name);
      return parts.join() === 'bytes,path' || plainBytes;
    })
    .map(field => field.element.name);
  const count = Number(metadata.num_rows);
  const classNames = huggingFaceClasses(metadata);
  return {
    kind: imageColumns.length > 0 ? 'parquet-shards' : 'parquet',
    file,
    count,
    notes: [],
    imageColumns,
    columns,
    async *entries(signal) {
      const light = imageColumns.length > 0 ? withoutBytes(metadata, imageColumns) : metadata;
      let groupStart = 0;
      for (const group of metadata.row_groups) {
        const groupEnd = groupStart + Number(group.num_rows);
        for (let rowStart = groupStart; rowStart < groupEnd; rowStart += SLICE_ROWS) {
          signal?.throwIfAborted();
          const rowEnd = Math.min(rowStart + SLICE_ROWS, groupEnd);
          const records = await read(file, rowStart, () =>
            parquetReadObjects({ file: buffer, metadata: light, rowStart, rowEnd, compressors }),
          );
          if (records.length !== rowEnd - rowStart) {
            throw damaged(file, `row ${rowStart + records.length + 1}`, 'rows are missing from here on');
          }
          for (const [index, record] of records.entries()) {
            const entry = toEntry(file, rowStart + index, record, columns, imageColumns);
            for (const [column, names] of classNames) {
              const name = names[entry.values[column] as number];
              if (name !== undefined) entry.values[column] = name;
            }
            yield entry;
          }
        }
        groupStart = groupEnd;
      }
    },
  };
}

/** Names of class columns, which hold numbers, as Hugging Face datasets writes them into the file's metadata. */
function huggingFaceClasses(metadata: FileMetaData): Map<string, string[]> {
  const classes = new Map<string, string[]>();
  const text = metadata.key_value_metadata?.find(({ key }) => key === 'huggingface')?.value;
  if (text === undefined) return classes;
  try {
    const { info } = JSON.parse(text) as {
      info?: { features?: Record<string, { names?: unknown; _type?: string }> };
    };
    for (const [column, { names, _type }] of Object.entries(info?.features ?? {})) {
      if (_type === 'ClassLabel' && Array.isArray(names)) classes.set(column, names.map(String));
    }
  } catch {
    // Not what it is named: the numbers stay.
  }
  return classes;
}

function toEntry(
  file: string,
  index: number,
  record: Record<string, unknown>,
  columns: readonly string[],
  imageColumns: readonly string[],
): Entry {
  const values = emptyRecord();
  const images: Record<string, HeldImage> = {};
  for (const column of columns) {
    if (!imageColumns.includes(column)) {
      values[column] = toScalar(record[column]);
      continue;
    }
    const path = (record[column] as { path?: string | null } | null | undefined)?.path ?? null;
    values[column] = path;
    const suffix = imageColumns.length > 1 ? `-${column}` : '';
    const name = path ?? `${String(index).padStart(7, '0')}${suffix}`;
    images[column] = { name, embedded: { in: 'parquet', container: file, column, row: index } };
  }
  return imageColumns.length > 0 ? { row: index + 1, values, images } : { row: index + 1, values };
}

async function open(path: string, file: string): Promise<{ buffer: AsyncBuffer; metadata: FileMetaData }> {
  if ((await stat(path)).size < 12) throw damaged(file, '', 'it is too short to be a Parquet file');
  const buffer = await asyncBufferFromFile(path);
  const metadata = await read(file, null, () => parquetMetadataAsync(buffer));
  const leaves = await read(file, null, async () => leafPaths(parquetSchema(metadata)));
  for (const [index, group] of metadata.row_groups.entries()) {
    const own = group.columns.map(column => (column.meta_data?.path_in_schema ?? []).join('\0'));
    // The library reads columns ahead: what the schema does not know would fail where nobody listens.
    if (own.length !== leaves.length || own.some((path, column) => path !== leaves[column])) {
      throw damaged(file, `row group ${index + 1}`, 'its columns are not those of the schema');
    }
  }
  return { buffer, metadata };
}

function leafPaths({ path, children }: SchemaTree): string[] {
  return children.length === 0 ? [path.join('\0')] : children.flatMap(leafPaths);
}

/** Runs a read of the library; whatever it throws becomes a sentence with file and row. */
async function read<T>(file: string, row: number | null, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw damaged(
      file,
      row === null ? '' : `rows from ${row + 1}`,
      `it cannot be read as Parquet (${why})`,
      error,
    );
  }
}

/**
 * The metadata of the same file with the images' bytes left out of its schema and row groups: a reader that is
 * given it does not touch them.
 */
function withoutBytes(metadata: FileMetaData, imageColumns: readonly string[]): FileMetaData {
  const dropped = (path: readonly string[]): boolean =>
    imageColumns.includes(path[0]!) && (path.length === 1 || path[1] === 'bytes');
  const kept: FileMetaData['schema'] = [];
  let at = 0;
  const visit = (path: string[]): boolean => {
    const element = metadata.schema[at++]!;
    const children = element.num_children ?? 0;
    const place = kept.push({ ...element }) - 1;
    let count = 0;
    for (let child = 0; child < children; child++) {
      const name = metadata.schema[at]!.name;
      if (visit([...path, name])) count++;
    }
    if (path.length > 0 && (children === 0 ? dropped(path) : count === 0)) {
      kept.splice(place);
      return false;
    }
    if (children > 0) kept[place] = { ...element, num_children: count };
    return true;
  };
  visit([]);
  return {
    ...metadata,
    schema: kept,
    row_groups: metadata.row_groups.map(group => ({
      ...group,
      columns: group.columns.filter(column => !dropped(column.meta_data?.path_in_schema ?? [])),
    })),
  };
}

/** The row group that holds a row. */
export interface RowSpan {
  /** First row and the one behind the last, from 0. */
  start: number;
  end: number;
  /** Of the column's bytes in it, decompressed. */
  sizeBytes: number;
}

/** Reads the images of one column, a row group or a part of it at a time. */
export interface HeldImages {
  span(row: number): RowSpan | null;
  /** @returns for each row the bytes, null where the cell is empty */
  read(start: number, end: number): Promise<(Uint8Array | null)[]>;
}

/** @throws DermcapError `dataset-damaged` */
export async function openHeldImages(path: string, file: string, column: string): Promise<HeldImages> {
  const { buffer, metadata } = await open(path, file);
  const spans: RowSpan[] = [];
  let start = 0;
  for (const group of metadata.row_groups) {
    const end = start + Number(group.num_rows);
    const sizes = group.columns
      .filter(chunk => chunk.meta_data?.path_in_schema[0] === column)
      .map(chunk => Number(chunk.meta_data!.total_uncompressed_size));
    spans.push({ start, end, sizeBytes: Math.max(0, ...sizes) });
    start = end;
  }
  return {
    span: row => spans.find(span => row >= span.start && row < span.end) ?? null,
    read: async (rowStart, rowEnd) => {
      const records = await read(file, rowStart, () =>
        parquetReadObjects({
          file: buffer,
          metadata,
          columns: [column],
          rowStart,
          rowEnd,
          compressors,
          utf8: false,
          useOffsetIndex: true,
        }),
      );
      return records.map(record => {
        const cell = record[column] as Uint8Array | { bytes?: Uint8Array | null } | null | undefined;
        if (cell instanceof Uint8Array) return cell;
        return cell?.bytes instanceof Uint8Array ? cell.bytes : null;
      });
    },
  };
}
