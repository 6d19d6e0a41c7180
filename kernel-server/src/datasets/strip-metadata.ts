/**
 * Copies of images without what is written about them: place, time, camera, its serial number, names, thumbnails
 * and edits. Pixels stay bit for bit: JPEG, PNG, WebP and GIF are taken apart and only what is needed to show
 * them is kept. The way up is kept (in an EXIF block that holds nothing else), and so are colour profiles, without
 * which the colours of a lesion would be others.
 */
import { crc32 } from 'node:zlib';
import { DermcapError } from '@dermcap/models/errors';
import { FORMAT_BYTES, imageFormat, MAX_PIXELS } from './image-format.js';

export interface StrippedImage {
  bytes: Buffer;
  /** Ending for its file name, with the dot. */
  extension: '.jpg' | '.png' | '.webp' | '.gif';
}

/**
 * @param bytes a whole image file: JPEG, PNG, WebP, GIF, TIFF or AVIF; the last two become PNG
 * @param name what it goes by in sentences
 * @throws DermcapError `image-unreadable` where it is cut short, damaged or of another kind
 */
export async function withoutMetadata(bytes: Buffer, name: string): Promise<StrippedImage> {
  try {
    switch (imageFormat(bytes.subarray(0, FORMAT_BYTES))) {
      case 'jpeg':
        return { bytes: stripJpeg(bytes), extension: '.jpg' };
      case 'png':
        return { bytes: stripPng(bytes), extension: '.png' };
      case 'webp':
        return { bytes: stripWebp(bytes), extension: '.webp' };
      case 'gif':
        return { bytes: stripGif(bytes), extension: '.gif' };
      case 'tiff':
      case 'avif':
        return { bytes: await toPng(bytes), extension: '.png' };
      default:
        throw new Damage('its content is of no kind that is copied');
    }
  } catch (error) {
    if (error instanceof DermcapError) throw error;
    const why = error instanceof Damage ? error.message : 'it is damaged or cut short';
    throw new DermcapError('image-unreadable', `“${name}” cannot be copied without its metadata: ${why}.`, {
      hint: 'It is left out; open the image and save it again.',
      cause: error,
    });
  }
}

class Damage extends Error {}

/** sharp writes no metadata unless it is told to; 16-bit samples stay what they are. */
async function toPng(bytes: Buffer): Promise<Buffer> {
  const { default: sharp } = await import('sharp');
  return sharp(bytes, { limitInputPixels: MAX_PIXELS, failOn: 'error' }).autoOrient().png().toBuffer();
}

const END_OF_IMAGE = 0xd9;
const START_OF_SCAN = 0xda;

/** Marker segments of ITU-T T.81, annex B; application segments as ExifTool's documentation names them. */
function stripJpeg(bytes: Buffer): Buffer {
  const kept: Buffer[] = [bytes.subarray(0, 2)];
  let orientation = 1;
  let at = 2;
  let scanned = false;
  for (;;) {
    if (bytes[at] !== 0xff) throw new Damage('a segment does not begin where it should');
    while (bytes[at + 1] === 0xff) at++;
    const marker = bytes[at + 1];
    if (marker === undefined) throw new Damage('it is cut short');
    // What follows the end is not the picture: further pictures, films, whole other files.
    if (marker === END_OF_IMAGE) break;
    const length = bytes.readUInt16BE(at + 2);
    let end = at + 2 + length;
    if (length < 2 || end > bytes.length) throw new Damage('it is cut short');
    const segment = bytes.subarray(at, end);
    const payload = segment.subarray(4);
    if (marker === 0xe1 && payload.subarray(0, 6).equals(EXIF_HEADER)) {
      orientation = exifOrientation(payload.subarray(6)) ?? orientation;
    }
    if (isNeeded(marker, payload)) kept.push(segment);
    if (marker === START_OF_SCAN) {
      scanned = true;
      const start = end;
      end = endOfScan(bytes, start);
      kept.push(bytes.subarray(start, end));
    }
    at = end;
  }
  if (!scanned) throw new Damage('it has no picture in it');
  kept.push(Buffer.from([0xff, END_OF_IMAGE]));
  if (orientation !== 1) {
    const exif = Buffer.concat([EXIF_HEADER, exifWith(orientation)]);
    const head = Buffer.from([0xff, 0xe1, 0, 0]);
    head.writeUInt16BE(exif.length + 2, 2);
    kept.splice(1, 0, head, exif);
  }
  return Buffer.concat(kept);
}

const EXIF_HEADER = Buffer.from('Exif\0\0', 'latin1');

function isNeeded(marker: number, payload: Buffer): boolean {
  const tag = payload.subarray(0, 12).toString('latin1');
  // APP0 JFIF without its thumbnail variant, APP2 colour profile, APP14 Adobe's colour transform.
  if (marker === 0xe0) return tag.startsWith('JFIF\0') && payload.length === 14;
  if (marker === 0xe2) return tag.startsWith('ICC_PROFILE\0');
  if (marker === 0xee) return tag.startsWith('Adobe');
  // All other application segments and comments.
  return !(marker >= 0xe0 && marker <= 0xef) && marker !== 0xfe;
}

/** Entropy-coded data ends at a marker that is neither a stuffed byte nor a restart. */
function endOfScan(bytes: Buffer, start: number): number {
  for (let at = bytes.indexOf(0xff, start); at !== -1; at = bytes.indexOf(0xff, at + 1)) {
    const next = bytes[at + 1];
    if (next === undefined) break;
    if (next !== 0 && next !== 0xff && !(next >= 0xd0 && next <= 0xd7)) return at;
  }
  throw new Damage('it is cut short');
}

/** Tag 0x0112 of the first directory (Exif 2.32, section 4.6.4); null where there is none that makes sense. */
export function exifOrientation(tiff: Buffer): number | null {
  const order = tiff.subarray(0, 2).toString('latin1');
  if ((order !== 'II' && order !== 'MM') || tiff.length < 14) return null;
  const u16 = (at: number): number => (order === 'II' ? tiff.readUInt16LE(at) : tiff.readUInt16BE(at));
  const directory = order === 'II' ? tiff.readUInt32LE(4) : tiff.readUInt32BE(4);
  if (directory + 2 > tiff.length) return null;
  const entries = u16(directory);
  for (let entry = 0; entry < entries; entry++) {
    const at = directory + 2 + entry * 12;
    if (at + 12 > tiff.length) return null;
    if (u16(at) !== 0x0112) continue;
    const value = u16(at + 8);
    return value >= 1 && value <= 8 ? value : null;
  }
  return null;
}

/** An EXIF block, big-endian, with one directory of one entry. */
function exifWith(orientation: number): Buffer {
  const tiff = Buffer.from('4d4d002a00000008000101120003000000010000000000000000', 'hex');
  tiff.writeUInt16BE(orientation, 18);
  return tiff;
}

/**
 * Chunks that the picture follows from (PNG third edition, section 11; the last three are animation), and those
 * of its colours.
 */
const PNG_CHUNKS = new Set([
  ...['IHDR', 'PLTE', 'IDAT', 'IEND', 'tRNS'],
  ...['gAMA', 'cHRM', 'sRGB', 'iCCP', 'sBIT', 'cICP', 'bKGD', 'pHYs'],
  ...['acTL', 'fcTL', 'fdAT'],
]);

function stripPng(bytes: Buffer): Buffer {
  const kept: Buffer[] = [bytes.subarray(0, 8)];
  let orientation = 1;
  for (let at = 8; ;) {
    if (at + 12 > bytes.length) throw new Damage('it is cut short');
    const end = at + 12 + bytes.readUInt32BE(at);
    if (end > bytes.length) throw new Damage('it is cut short');
    const type = bytes.subarray(at + 4, at + 8).toString('latin1');
    if (type === 'eXIf') orientation = exifOrientation(bytes.subarray(at + 8, end - 4)) ?? orientation;
    if (type === 'IEND' && orientation !== 1) kept.splice(2, 0, pngChunk('eXIf', exifWith(orientation)));
    if (PNG_CHUNKS.has(type)) kept.push(bytes.subarray(at, end));
    if (type === 'IEND') return Buffer.concat(kept);
    at = end;
  }
}

function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(data.length, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return chunk;
}

const WEBP_CHUNKS = new Set(['VP8 ', 'VP8L', 'VP8X', 'ALPH', 'ANIM', 'ANMF', 'ICCP']);
/** Bits of VP8X's first byte (RFC 9649, section 2.7.1.1). */
const WEBP_EXIF = 0x08;
const WEBP_XMP = 0x04;

function stripWebp(bytes: Buffer): Buffer {
  const kept: Buffer[] = [];
  let orientation = 1;
  let features: Buffer | null = null;
  const total = Math.min(bytes.length, bytes.readUInt32LE(4) + 8);
  for (let at = 12; at + 8 <= total;) {
    const size = bytes.readUInt32LE(at + 4);
    const end = at + 8 + size;
    if (end > bytes.length) throw new Damage('it is cut short');
    const type = bytes.subarray(at, at + 4).toString('latin1');
    if (type === 'EXIF') {
      const exif = bytes.subarray(at + 8, end);
      // Some writers keep the header that JPEG has before it.
      const tiff = exif.subarray(0, 6).equals(EXIF_HEADER) ? exif.subarray(6) : exif;
      orientation = exifOrientation(tiff) ?? orientation;
    }
    if (WEBP_CHUNKS.has(type)) {
      const chunk = Buffer.alloc(8 + size + (size % 2));
      bytes.copy(chunk, 0, at, end);
      if (type === 'VP8X') features = chunk;
      kept.push(chunk);
    }
    at = end + (size % 2);
  }
  if (kept.length === 0) throw new Damage('it has no picture in it');
  if (features) features[8] = features[8]! & ~WEBP_EXIF & ~WEBP_XMP;
  // Only a file with a feature chunk can say which way is up; without one there was nothing to say.
  if (features && orientation !== 1) {
    features[8] = features[8]! | WEBP_EXIF;
    const exif = exifWith(orientation);
    const head = Buffer.from('EXIF\0\0\0\0', 'latin1');
    head.writeUInt32LE(exif.length, 4);
    kept.push(head, exif);
  }
  const body = Buffer.concat(kept);
  const head = Buffer.from('RIFF\0\0\0\0WEBP', 'latin1');
  head.writeUInt32LE(body.length + 4, 4);
  return Buffer.concat([head, body]);
}

/** Blocks of GIF89a, section 23–26: comments and application data go, but for the count of repetitions. */
function stripGif(bytes: Buffer): Buffer {
  const flags = bytes[10];
  if (flags === undefined) throw new Damage('it is cut short');
  const kept: Buffer[] = [];
  let at = 13 + colourTable(flags);
  kept.push(bytes.subarray(0, at));
  for (;;) {
    const block = bytes[at];
    if (block === 0x3b) return Buffer.concat([...kept, Buffer.from([0x3b])]);
    if (block === 0x2c) {
      const data = at + 10 + colourTable(bytes[at + 9] ?? 0) + 1;
      const end = endOfBlocks(bytes, data);
      kept.push(bytes.subarray(at, end));
      at = end;
    } else if (block === 0x21) {
      const label = bytes[at + 1];
      const end = endOfBlocks(bytes, at + 2);
      const repeats =
        label === 0xff &&
        /^(?:NETSCAPE2\.0|ANIMEXTS1\.0)$/.test(bytes.subarray(at + 3, at + 14).toString('latin1'));
      if (label === 0xf9 || repeats) kept.push(bytes.subarray(at, end));
      at = end;
    } else {
      throw new Damage('it is cut short');
    }
  }
}

function colourTable(flags: number): number {
  return flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0;
}

function endOfBlocks(bytes: Buffer, start: number): number {
  let at = start;
  for (;;) {
    const size = bytes[at];
    if (size === undefined) throw new Damage('it is cut short');
    at += 1 + size;
    if (size === 0) return at;
  }
}
