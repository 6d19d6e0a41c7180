/**
 * The directory of a zip file: which records there are and where their bytes lie.
 *
 * Own code because zip libraries hand out contents, while a checkpoint needs the *position* of each payload (the
 * weights are mapped where they lie), zip64, and nothing read but directory and headers. Only what torch writes is
 * read: stored records, sizes from the central directory (local headers have zeros and a data descriptor follows).
 * Checksums are not compared: torch can be told not to compute them (`set_crc32_options`).
 *
 * Structures and their offsets: PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.12, 4.3.14–16, 4.5.3.
 */
import { DermcapError } from '../errors.js';
import type { ByteSource } from './byteSource.js';
import { MAX_ZIP_DIRECTORY_BYTES, MAX_ZIP_ENTRIES } from './limits.js';
import { printable } from './refusal.js';

const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END_OF_DIRECTORY = 0x06054b50;
const ZIP64_END_OF_DIRECTORY = 0x06064b50;
const ZIP64_LOCATOR = 0x07064b50;

const LOCAL_HEADER_BYTES = 30;
const CENTRAL_HEADER_BYTES = 46;
const END_BYTES = 22;
const ZIP64_END_BYTES = 56;
const ZIP64_LOCATOR_BYTES = 20;
const MAX_COMMENT_BYTES = 0xffff;

const ZIP64_EXTRA = 0x0001;
const FLAG_ENCRYPTED = 0x0001;
const STORED = 0;

/** "The real value stands in the zip64 structure." */
const IN_ZIP64_16 = 0xffff;
const IN_ZIP64_32 = 0xffffffff;

export interface ZipEntry {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  /** Bytes of the payload. */
  readonly size: number;
  readonly storedSize: number;
  readonly method: number;
  readonly encrypted: boolean;
  readonly headerOffset: number;
}

export interface ZipDirectory {
  /** In the directory's order. */
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /** Where the directory begins: every payload ends before. */
  readonly offset: number;
}

/**
 * Reads the central directory: one read of the file's last 64 kB, more only when it is longer.
 * @throws DermcapError `checkpoint-truncated` | `checkpoint-damaged` | `checkpoint-limit` | `checkpoint-unsupported`
 */
export async function readZipDirectory(source: ByteSource): Promise<ZipDirectory> {
  const tailBytes = Math.min(
    source.byteLength,
    END_BYTES + MAX_COMMENT_BYTES + ZIP64_LOCATOR_BYTES + ZIP64_END_BYTES,
  );
  const tailOffset = source.byteLength - tailBytes;
  const tail = await source.read(tailOffset, tailBytes);
  const at = async (offset: number, length: number): Promise<DataView> =>
    offset >= tailOffset && offset + length <= source.byteLength
      ? new DataView(tail.buffer, offset - tailOffset, length)
      : new DataView((await source.read(offset, length)).buffer);

  const endOffset = tailOffset + findEnd(source.path, tail);
  const end = await at(endOffset, END_BYTES);
  let count = end.getUint16(10, true);
  let size = end.getUint32(12, true);
  let offset = end.getUint32(16, true);
  if (end.getUint16(4, true) !== 0 && end.getUint16(4, true) !== IN_ZIP64_16) throw split(source.path);

  let directoryLimit = endOffset;
  const locatorOffset = endOffset - ZIP64_LOCATOR_BYTES;
  const locator = locatorOffset >= 0 ? await at(locatorOffset, ZIP64_LOCATOR_BYTES) : null;
  if (locator?.getUint32(0, true) === ZIP64_LOCATOR) {
    const zip64Offset = wide(source.path, locator, 8);
    if (zip64Offset + ZIP64_END_BYTES > locatorOffset)
      throw damaged(source.path, 'its zip64 end is misplaced');
    const zip64 = await at(zip64Offset, ZIP64_END_BYTES);
    if (zip64.getUint32(0, true) !== ZIP64_END_OF_DIRECTORY)
      throw damaged(source.path, 'its zip64 end is not where it should be');
    if (zip64.getUint32(16, true) !== 0) throw split(source.path);
    const claims: [number, number, number][] = [
      [count, wide(source.path, zip64, 32), IN_ZIP64_16],
      [size, wide(source.path, zip64, 40), IN_ZIP64_32],
      [offset, wide(source.path, zip64, 48), IN_ZIP64_32],
    ];
    // Two readers must not see two different archives in one file.
    if (claims.some(([narrow, real, mark]) => narrow !== mark && narrow !== real))
      throw damaged(source.path, 'its two directory ends contradict each other');
    [count, size, offset] = claims.map(([, real]) => real) as [number, number, number];
    directoryLimit = zip64Offset;
  }

  if (count > MAX_ZIP_ENTRIES)
    throw new DermcapError(
      'checkpoint-limit',
      `${source.path} claims ${count} zip records; at most ${MAX_ZIP_ENTRIES} are read.`,
    );
  if (size > MAX_ZIP_DIRECTORY_BYTES)
    throw new DermcapError(
      'checkpoint-limit',
      `${source.path} claims a zip directory of ${size} bytes; at most ${MAX_ZIP_DIRECTORY_BYTES} are read.`,
    );
  if (offset + size > directoryLimit)
    throw damaged(source.path, 'its zip directory does not lie inside the file');
  return { entries: parseDirectory(source.path, await at(offset, size), count), offset };
}

/**
 * File offset of a record's payload: behind the *local* header, whose extra field (torch's alignment padding) has
 * another length than the directory's.
 * @throws DermcapError `checkpoint-compressed` | `checkpoint-encrypted` | `checkpoint-damaged`
 */
export async function payloadOffset(
  source: ByteSource,
  directory: ZipDirectory,
  entry: ZipEntry,
): Promise<number> {
  const name = printable(entry.name);
  if (entry.encrypted)
    throw new DermcapError('checkpoint-encrypted', `${source.path}: the record ${name} is encrypted.`, {
      hint: 'DermCap reads files as torch.save writes them: decrypt and save it again.',
    });
  if (entry.method !== STORED)
    throw new DermcapError(
      'checkpoint-compressed',
      `${source.path}: the record ${name} is compressed (zip method ${entry.method}); weights are used in place, ` +
        'so they must be stored uncompressed, as torch.save does.',
      { hint: 'Load it in PyTorch and save it again, or repack it with `zip -0 -r`.' },
    );
  if (entry.size !== entry.storedSize)
    throw damaged(source.path, `the sizes of ${name} contradict each other`);
  const headerBytes = LOCAL_HEADER_BYTES + entry.nameBytes.length;
  if (entry.headerOffset + headerBytes + entry.size > directory.offset)
    throw damaged(source.path, `the record ${name} does not lie inside the file`);
  const bytes = await source.read(entry.headerOffset, headerBytes);
  const header = new DataView(bytes.buffer);
  const sameName =
    header.getUint32(0, true) === LOCAL_HEADER &&
    header.getUint16(26, true) === entry.nameBytes.length &&
    entry.nameBytes.every((byte, i) => byte === bytes[LOCAL_HEADER_BYTES + i]);
  if (!sameName || header.getUint16(8, true) !== STORED)
    throw damaged(source.path, `the header of ${name} is not where the directory says`);
  const offset = entry.headerOffset + headerBytes + header.getUint16(28, true);
  if (offset + entry.size > directory.offset)
    throw damaged(source.path, `the record ${name} does not lie inside the file`);
  return offset;
}

/**
 * Reads a record's payload.
 * @throws DermcapError `checkpoint-limit` when it is longer than `mostBytes`, or as {@link payloadOffset}
 */
export async function readEntry(
  source: ByteSource,
  directory: ZipDirectory,
  entry: ZipEntry,
  mostBytes: number,
): Promise<Uint8Array> {
  if (entry.size > mostBytes)
    throw new DermcapError(
      'checkpoint-limit',
      `${source.path}: the record ${printable(entry.name)} has ${entry.size} bytes; at most ${mostBytes} are read.`,
    );
  return source.read(await payloadOffset(source, directory, entry), entry.size);
}

/** Index of the end-of-directory record in the file's tail: the last one whose comment fills the rest. */
function findEnd(path: string, tail: Uint8Array<ArrayBuffer>): number {
  const view = new DataView(tail.buffer);
  for (let at = tail.length - END_BYTES; at >= 0; at--)
    if (
      view.getUint32(at, true) === END_OF_DIRECTORY &&
      at + END_BYTES + view.getUint16(at + 20, true) === tail.length
    )
      return at;
  throw new DermcapError(
    'checkpoint-truncated',
    `${path} is truncated: it begins as a PyTorch checkpoint, but the zip directory at its end is missing.`,
    {
      hint: 'The download or copy was probably cut off: compare its size with the original and fetch it again.',
    },
  );
}

function parseDirectory(path: string, view: DataView, count: number): Map<string, ZipEntry> {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL_HEADER_BYTES > bytes.length || view.getUint32(at, true) !== CENTRAL_HEADER)
      throw damaged(path, `its zip directory breaks off after ${i} of ${count} records`);
    const nameEnd = at + CENTRAL_HEADER_BYTES + view.getUint16(at + 28, true);
    const extraEnd = nameEnd + view.getUint16(at + 30, true);
    const next = extraEnd + view.getUint16(at + 32, true);
    if (next > bytes.length)
      throw damaged(path, `its zip directory breaks off after ${i} of ${count} records`);
    const nameBytes = bytes.slice(at + CENTRAL_HEADER_BYTES, nameEnd);
    const name = decoder.decode(nameBytes);
    const [size, storedSize, headerOffset] = zip64Fields(path, view, nameEnd, extraEnd, [
      view.getUint32(at + 24, true),
      view.getUint32(at + 20, true),
      view.getUint32(at + 42, true),
    ]);
    if (entries.has(name)) throw damaged(path, `it has two records called ${printable(name)}`);
    entries.set(name, {
      name,
      nameBytes,
      size,
      storedSize,
      method: view.getUint16(at + 10, true),
      encrypted: (view.getUint16(at + 8, true) & FLAG_ENCRYPTED) !== 0,
      headerOffset,
    });
    at = next;
  }
  return entries;
}

/** Replaces the saturated ones of [size, stored size, header offset] by the zip64 extra field's, in that order. */
function zip64Fields(
  path: string,
  view: DataView,
  begin: number,
  end: number,
  fields: [number, number, number],
): [number, number, number] {
  if (!fields.includes(IN_ZIP64_32)) return fields;
  for (let at = begin; at + 4 <= end;) {
    const id = view.getUint16(at, true);
    const fieldEnd = at + 4 + view.getUint16(at + 2, true);
    if (fieldEnd > end) break;
    if (id === ZIP64_EXTRA) {
      let value = at + 4;
      return fields.map(field => {
        if (field !== IN_ZIP64_32) return field;
        if (value + 8 > fieldEnd) throw damaged(path, 'a zip64 field is too short');
        value += 8;
        return wide(path, view, value - 8);
      }) as [number, number, number];
    }
    at = fieldEnd;
  }
  throw damaged(path, 'a zip64 field is missing');
}

/** 64-bit unsigned number; beyond 2^53 no file is that long. */
function wide(path: string, view: DataView, at: number): number {
  const value = Number(view.getBigUint64(at, true));
  if (!Number.isSafeInteger(value)) throw damaged(path, 'it names a position beyond any file');
  return value;
}

function damaged(path: string, what: string): DermcapError {
  return new DermcapError('checkpoint-damaged', `${path} is damaged: ${what}.`, {
    hint: 'Fetch or copy the file again, and compare its checksum with the original.',
  });
}

function split(path: string): DermcapError {
  return new DermcapError('checkpoint-unsupported', `${path} is one part of a split zip archive.`);
}
