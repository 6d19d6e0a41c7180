/** From an entry of a table to the dataset's rows: one for each image it names or holds. */
import type { Found } from './image-index.js';
import { parseLiteral } from './literal.js';
import type { ColumnMapping, DatasetRow, Reference, RowProblem, Scalar, TableRecord } from './source.js';
import { isEmpty, typed, type Entry, type Table } from './tables/table.js';

export interface RowContext {
  table: Table;
  mapping: ColumnMapping;
  /** Split of the table itself, for want of a column. */
  split: string | null;
  find: (name: string) => Promise<Found>;
}

export async function toRows(entry: Entry, context: RowContext): Promise<DatasetRow[]> {
  const { table, mapping } = context;
  const said = describe(entry, context);
  const manifest = table.file === '' ? null : table.file;
  const own = (path: string): DatasetRow => ({ path, row: entry.row, manifest, ...said });
  const faulty = (
    state: RowProblem['state'],
    why: string,
    path = `${table.file}#${entry.row}`,
  ): DatasetRow => ({
    ...own(path),
    problem: { state, reason: `“${table.file}”, row ${entry.row}: it ${why}.` },
  });
  if (entry.fault !== undefined) {
    return [
      {
        ...faulty('damaged', ''),
        problem: { state: 'damaged', reason: `“${table.file}”, row ${entry.row}: ${entry.fault}.` },
      },
    ];
  }
  const rows: DatasetRow[] = [];
  for (const column of mapping.image) {
    const held = entry.images?.[column];
    if (held) {
      rows.push({
        ...own(
          heldPath(held.embedded.container, held.embedded.in === 'parquet' ? entry.row : null, held.name),
        ),
        embedded: held.embedded,
      });
      continue;
    }
    const cell = entry.values[column];
    if (isEmpty(cell)) continue;
    const found = await context.find(String(cell));
    if ('path' in found) rows.push(own(found.path));
    else rows.push(faulty(found.state, found.reason, namedPath(String(cell)) ?? undefined));
  }
  return rows.length > 0 ? rows : [faulty('no-image', 'names no image')];
}

/** What an entry says of all its images. */
function describe(
  entry: Entry,
  { table, mapping, split }: RowContext,
): Omit<DatasetRow, 'path' | 'row' | 'manifest'> {
  const { values } = entry;
  const metadata: TableRecord = Object.create(null) as TableRecord;
  for (const [column, value] of Object.entries(values)) {
    if (!mapping.captions.includes(column)) metadata[column] = table.kind === 'csv' ? typed(value) : value;
  }
  const text = (column: string | null): string | undefined => {
    const cell = column === null ? undefined : values[column];
    return isEmpty(cell) ? undefined : String(cell).trim();
  };
  const optional = {
    label: labelOf(values, mapping.label),
    split: text(mapping.split) ?? split ?? undefined,
    source: text(mapping.source),
    group: text(mapping.group),
    id: text(mapping.id),
  };
  return {
    metadata,
    references: mapping.captions.flatMap(column => references(column, values[column])),
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
  };
}

/** A caption, or the captions of a list within a cell. */
function references(column: string, cell: Scalar | undefined): Reference[] {
  if (isEmpty(cell)) return [];
  const text = String(cell).trim();
  const list = parseLiteral(text);
  const texts = Array.isArray(list) ? list.map(captionText) : [text];
  return texts.flatMap(one => (one === null || one.trim() === '' ? [] : [{ text: one.trim(), column }]));
}

/**
 * An item of a list of captions: text, or a record with the text in it, as COCO and Flickr releases have it; of a
 * conversation (LLaVA, chat messages) what the model says.
 */
function captionText(item: unknown): string | null {
  if (typeof item === 'string') return item;
  if (!(item instanceof Map)) return null;
  const speaker: unknown = item.get('from') ?? item.get('role');
  if (speaker !== undefined) {
    const said: unknown = item.get('value') ?? item.get('content');
    return (speaker === 'gpt' || speaker === 'assistant') && typeof said === 'string' ? said : null;
  }
  const text: unknown = item.get('caption') ?? item.get('raw') ?? item.get('text');
  return typeof text === 'string' ? text : null;
}

/** See {@link ColumnMapping.label}. */
export function labelOf(values: TableRecord, columns: readonly string[]): string | undefined {
  const filled = columns
    .map(column => ({ column, value: values[column] }))
    .filter(({ value }) => !isEmpty(value));
  if (filled.length === 0) return undefined;
  const weights = filled.map(({ column, value }) => ({ column, weight: typed(value) }));
  if (
    columns.length > 1 &&
    weights.every(({ weight }) => typeof weight === 'number' || typeof weight === 'boolean')
  ) {
    return heaviest(weights.map(({ column, weight }) => [column, Number(weight)]));
  }
  const text = String(filled[0]!.value).trim();
  const literal = parseLiteral(text);
  if (literal instanceof Map) return heaviest([...literal].map(([name, weight]) => [name, Number(weight)]));
  if (Array.isArray(literal)) return literal.length === 0 ? undefined : literal.map(String).join(', ');
  return text;
}

/** The first of the highest; none where all are zero. */
function heaviest(weights: readonly (readonly [string, number])[]): string | undefined {
  let best: readonly [string, number] | undefined;
  for (const one of weights) if (one[1] > (best?.[1] ?? 0)) best = one;
  return best?.[0];
}

/** A path that cannot be taken for one elsewhere: what the shard's author called it is a name, not a way. */
function heldPath(container: string, row: number | null, name: string): string {
  const parts = name
    .replaceAll('\\', '/')
    .replace(/\p{Cc}/gu, '_')
    .split('/')
    .filter(part => part !== '' && part !== '.' && part !== '..');
  return [container, ...(row === null ? [] : [String(row)]), ...(parts.length > 0 ? parts : ['image'])].join(
    '/',
  );
}

/** The name a manifest gives, where it can stand for the path of an image that was not found. */
function namedPath(name: string): string | null {
  const parts = name
    .trim()
    .replaceAll('\\', '/')
    .split('/')
    .filter(part => part !== '' && part !== '.');
  return parts.length === 0 || parts.includes('..') || /\p{Cc}/u.test(name) ? null : parts.join('/');
}
