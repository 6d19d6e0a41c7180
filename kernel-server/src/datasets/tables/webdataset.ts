/**
 * WebDataset shards: tar files whose members with one name before the first dot are one sample. Images stay in
 * the shard: only headers, texts and JSON are read (https://github.com/webdataset/webdataset, “WebDataset format”).
 */
import { open, type FileHandle } from 'node:fs/promises';
import { posix } from 'node:path';
import { Header, Pax } from 'tar';
import type { EmbeddedImage } from '../source.js';
import { damaged, emptyRecord, toScalar, type Entry, type HeldImage, type Table } from './table.js';

const BLOCK = 512;
/** Longer texts and long names are no sample's (CWE-770). */
const MAX_TEXT_BYTES = 4_000_000;
/** Samples that are read for the names of columns. */
const COLUMN_SAMPLES = 100;
const IMAGE_EXTENSION = /(?:^|\.)(?:jpe?g|png|webp|tiff?|gif|bmp|avif|dcm)$/;
const TEXT_EXTENSION = /(?:^|\.)(?:txt|text|caption|cls|label|split|source|id|transcript)$/;

interface Member {
  path: string;
  offset: number;
  sizeBytes: number;
}

/** @throws DermcapError `dataset-damaged` when it is not a tar file or holds no sample */
export async function openWebDataset(path: string, file: string): Promise<Table> {
  const columns = new Set<string>();
  const imageColumns = new Set<string>();
  let read = 0;
  for await (const { values, images } of entries(path, file)) {
    for (const name of Object.keys(values)) columns.add(name);
    for (const name of Object.keys(images ?? {})) imageColumns.add(name);
    if (++read === COLUMN_SAMPLES) break;
  }
  if (read === 0) throw damaged(file, '', 'it holds no samples');
  return {
    kind: 'webdataset',
    file,
    notes: [],
    imageColumns: [...imageColumns],
    columns: [...new Set([...columns, ...imageColumns])],
    entries: signal => entries(path, file, signal),
  };
}

async function* entries(path: string, file: string, signal?: AbortSignal): AsyncGenerator<Entry> {
  const handle = await open(path, 'r');
  try {
    let key: string | null = null;
    let row = 0;
    let parts: Member[] = [];
    for await (const member of members(handle, file)) {
      signal?.throwIfAborted();
      const own = sampleKey(member.path);
      if (own === null) continue;
      if (own !== key && parts.length > 0) {
        yield await sample(handle, file, key!, ++row, parts);
        parts = [];
      }
      key = own;
      parts.push(member);
    }
    if (parts.length > 0) yield await sample(handle, file, key!, ++row, parts);
  } finally {
    await handle.close();
  }
}

/** Path up to the first dot of its last part; null for what belongs to no sample. */
function sampleKey(path: string): string | null {
  const name = posix.basename(path);
  const dot = name.indexOf('.');
  if (dot <= 0) return null;
  return posix.join(posix.dirname(path), name.slice(0, dot));
}

async function sample(
  handle: FileHandle,
  file: string,
  key: string,
  row: number,
  parts: readonly Member[],
): Promise<Entry> {
  const values = emptyRecord();
  values['__key__'] = key;
  const images: Record<string, HeldImage> = Object.create(null) as Record<string, HeldImage>;
  let fault: string | undefined;
  for (const { path, offset, sizeBytes } of parts) {
    const name = posix.basename(path);
    const extension = name.slice(name.indexOf('.') + 1).toLowerCase();
    if (IMAGE_EXTENSION.test(extension)) {
      const embedded: EmbeddedImage = { in: 'tar', container: file, offset, sizeBytes };
      images[extension] = { name: path, embedded };
      continue;
    }
    const json = /(?:^|\.)json$/.test(extension);
    if ((!json && !TEXT_EXTENSION.test(extension)) || sizeBytes > MAX_TEXT_BYTES) continue;
    const text = (await readAt(handle, file, offset, sizeBytes)).toString('utf8');
    if (!json) {
      values[extension] = text.trim() === '' ? null : text.trim();
      continue;
    }
    try {
      const record: unknown = JSON.parse(text);
      if (typeof record !== 'object' || record === null || Array.isArray(record))
        values[extension] = toScalar(record);
      else for (const [column, value] of Object.entries(record)) values[column] = toScalar(value);
    } catch {
      fault = `“${path}” is not valid JSON`;
    }
  }
  return { row, values, images, ...(fault === undefined ? {} : { fault }) };
}

/** The library throws on numbers that no tar has. */
function parse(file: string, seen: number, block: Buffer, extended?: Pax, global?: Pax): Header {
  try {
    return new Header(block, 0, extended, global);
  } catch (error) {
    throw damaged(file, `member ${seen + 1}`, 'its header is damaged', error);
  }
}

/** The regular files of a tar with the places of their contents, which are not read. */
async function* members(handle: FileHandle, file: string): AsyncGenerator<Member> {
  const { size: end } = await handle.stat();
  let extended: Pax | undefined;
  let global: Pax | undefined;
  let longPath: string | undefined;
  let seen = 0;
  for (let at = 0; at + BLOCK <= end;) {
    const header = parse(file, seen, await readAt(handle, file, at, BLOCK), extended, global);
    if (header.nullBlock) return;
    if (!header.cksumValid)
      throw damaged(file, `member ${seen + 1}`, at === 0 ? 'it is not a tar file' : 'its header is damaged');
    const sizeBytes = Math.max(0, header.size ?? 0);
    const offset = at + BLOCK;
    const path = longPath ?? header.path ?? '';
    if (offset + sizeBytes > end)
      throw damaged(file, `member ${seen + 1} (“${path}”)`, 'the file ends before it does');
    at = offset + Math.ceil(sizeBytes / BLOCK) * BLOCK;
    switch (header.type) {
      case 'ExtendedHeader':
        extended = Pax.parse(await text(handle, file, offset, sizeBytes), extended, false);
        continue;
      case 'GlobalExtendedHeader':
        global = Pax.parse(await text(handle, file, offset, sizeBytes), global, true);
        continue;
      case 'NextFileHasLongPath':
      case 'OldGnuLongPath':
        longPath = (await text(handle, file, offset, sizeBytes)).replace(/\0.*$/s, '');
        continue;
      case 'File':
      case 'OldFile':
      case 'ContiguousFile':
        seen++;
        yield { path, offset, sizeBytes };
    }
    extended = undefined;
    longPath = undefined;
  }
}

async function text(handle: FileHandle, file: string, offset: number, sizeBytes: number): Promise<string> {
  if (sizeBytes > MAX_TEXT_BYTES) throw damaged(file, '', 'the name of a member is too long');
  return (await readAt(handle, file, offset, sizeBytes)).toString('utf8');
}

async function readAt(handle: FileHandle, file: string, offset: number, sizeBytes: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(sizeBytes), 0, sizeBytes, offset);
  if (bytesRead < sizeBytes) throw damaged(file, '', 'it ends too early');
  return buffer;
}
