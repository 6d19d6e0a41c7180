/**
 * Image files to RGB, as `PIL.Image.open(path).convert('RGB')` gives them: no colour management, alpha dropped,
 * turned only if asked. Decoding is sharp's (libvips); what it would convert in another way, we take raw.
 */
import { readFile, stat } from 'node:fs/promises';
import sharp from 'sharp';
import type { Metadata } from 'sharp';
import { DermcapError } from '../errors.js';
import { recogniseFormat } from './format.js';
import { tiffColours, unreadTiffColours } from './tiff.js';

export interface RgbImage {
  readonly width: number;
  readonly height: number;
  /** RGB, row-major, 3 bytes a pixel */
  readonly data: Uint8Array;
}

export interface DecodeOptions {
  /** Turn the image as its EXIF orientation says. The reference does not. */
  autoOrient?: boolean;
}

/** Pillow refuses images of more than twice its MAX_IMAGE_PIXELS as decompression bombs (CWE-409). */
const MAX_PIXELS = 2 * 89_478_485;
/** An uncompressed 16-bit RGBA image of MAX_PIXELS is 1.4 GB (CWE-770). */
const MAX_BYTES = 1.5e9;

const READ = 'JPEG, PNG, WebP, TIFF and GIF are read.';

/**
 * @throws DermcapError naming the file: `image-missing`, `image-empty`, `image-unreadable` (not an image),
 * `image-unsupported` (an image of another kind), `image-truncated` (incomplete or damaged), `image-too-large`
 */
export async function decodeImage(path: string, options: DecodeOptions = {}): Promise<RgbImage> {
  const bytes = await readImageFile(path);
  const format = recogniseFormat(bytes);
  if (format === undefined)
    throw new DermcapError('image-unreadable', `${path} is not an image, whatever its name says.`, {
      hint: READ,
    });
  if (!format.supported)
    throw new DermcapError('image-unsupported', `${path} is a ${format.name} file, which is not read.`, {
      hint: READ,
    });
  if (format.name === 'TIFF') checkTiffColours(path, bytes);
  try {
    const meta = await open(bytes).metadata();
    checkKind(path, meta);
    return await decode(bytes, meta, options);
  } catch (cause) {
    if (cause instanceof DermcapError) throw cause;
    throw new DermcapError('image-truncated', `${path} is incomplete or damaged${reason(cause)}.`, {
      hint: 'Copy or download the image again.',
      cause,
    });
  }
}

/** Read here and not by libvips, which remembers files by name and would show one that has changed since. */
async function readImageFile(path: string): Promise<Buffer> {
  const missing = (why: string, cause?: unknown) =>
    new DermcapError('image-missing', `${path} ${why}.`, { cause });
  const status = await stat(path).catch(cause => {
    throw missing('does not exist or cannot be reached', cause);
  });
  if (!status.isFile()) throw missing('is not a file');
  if (status.size === 0) throw new DermcapError('image-empty', `${path} is empty.`);
  if (status.size > MAX_BYTES) throw tooLarge(path, `${status.size} bytes; the limit is ${MAX_BYTES}`);
  return readFile(path).catch(cause => {
    throw missing('cannot be opened', cause);
  });
}

/** failOn 'error' refuses what Pillow refuses; 'warning' also what is merely odd. */
function open(bytes: Buffer, failOn: 'error' | 'warning' = 'error') {
  return sharp(bytes, { failOn, limitInputPixels: false, ignoreIcc: true, sequentialRead: true });
}

function checkKind(path: string, { width, height, depth, space }: Metadata): void {
  if (width * height > MAX_PIXELS)
    throw tooLarge(path, `${width} × ${height} pixels; the limit is ${MAX_PIXELS}`);
  const deep = depth === 'ushort';
  const read =
    space === 'srgb' ||
    space === 'b-w' ||
    (deep ? space === 'rgb16' || space === 'grey16' : space === 'cmyk');
  if (!read || !(deep || depth === 'uchar'))
    throw new DermcapError(
      'image-unsupported',
      `${path} holds pixels of a kind that is not read: ${space}, ${depth}.`,
      {
        hint: 'Save it as RGB or grey with 8 bits a channel.',
      },
    );
}

/** Before libvips, which would show YCbCr samples as red, green and blue. */
function checkTiffColours(path: string, bytes: Buffer): void {
  const colours = tiffColours(bytes);
  const unread = colours && unreadTiffColours(colours);
  if (unread !== undefined)
    throw new DermcapError(
      'image-unsupported',
      `${path} is a TIFF of colours that are not read: ${unread}.`,
      {
        hint: 'Save it as RGB or grey with 8 bits a channel.',
      },
    );
}

/** Colour type of a PNG (section 11.2.1): grey, with or without one value that is clear. */
const isGreyPng = (bytes: Buffer) => bytes[25] === 0;

async function decode(bytes: Buffer, meta: Metadata, { autoOrient }: DecodeOptions): Promise<RgbImage> {
  const { space, format, channels } = meta;
  const deepGrey = space === 'grey16' && (channels === 1 || (format === 'png' && isGreyPng(bytes)));
  const pixels = (failOn: 'error' | 'warning') => {
    let image = open(bytes, failOn);
    // Pillow turns TIFF while it loads it.
    if (autoOrient || format === 'tiff') image = image.autoOrient();
    if (space === 'cmyk') image = image.pipelineColourspace('cmyk').toColourspace('cmyk');
    if (deepGrey) image = image.toColourspace('grey16');
    return image.raw({ depth: deepGrey ? 'ushort' : 'uchar' }).toBuffer({ resolveWithObject: true });
  };
  const { data, info } = await (format === 'jpeg' ? completeJpeg(pixels) : pixels('error'));
  const rgb = deepGrey ? fromDeepGrey(data, info.channels) : toRgb(data, info.channels, space);
  return { width: info.width, height: info.height, data: rgb };
}

/**
 * libjpeg fills what is missing inside of a scan with grey and only warns, in the same way as it warns of oddities
 * that cost no pixel: refuse the first, read the others.
 */
async function completeJpeg<T>(pixels: (failOn: 'error' | 'warning') => Promise<T>): Promise<T> {
  try {
    return await pixels('warning');
  } catch (cause) {
    if (/premature end/.test(String(cause))) throw cause;
    return pixels('error');
  }
}

function toRgb(data: Buffer, channels: number, space: Metadata['space']): Uint8Array {
  if (space === 'cmyk') return fromCmyk(data, channels);
  if (channels === 3) return data;
  const [green, blue] = channels < 3 ? [0, 0] : [1, 2];
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let from = 0, to = 0; from < data.length; from += channels, to += 3) {
    rgb[to] = data[from]!;
    rgb[to + 1] = data[from + green]!;
    rgb[to + 2] = data[from + blue]!;
  }
  return rgb;
}

/** Pillow's CMYK to RGB: no inks' profile, (1 − ink)(1 − black). */
function fromCmyk(data: Buffer, channels: number): Uint8Array {
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let from = 0, to = 0; from < data.length; from += channels, to += 3)
    for (let c = 0; c < 3; c++)
      rgb[to + c] = Math.round(((255 - data[from + c]!) * (255 - data[from + 3]!)) / 255);
  return rgb;
}

/** Pillow cuts 16-bit grey at 255 instead of scaling it. Nearly white, but what the reference feeds its model. */
function fromDeepGrey(data: Buffer, channels: number): Uint8Array {
  const values = new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
  const rgb = new Uint8Array((values.length / channels) * 3);
  for (let from = 0, to = 0; from < values.length; from += channels, to += 3)
    rgb.fill(Math.min(values[from]!, 255), to, to + 3);
  return rgb;
}

function tooLarge(path: string, size: string): DermcapError {
  return new DermcapError('image-too-large', `${path} has ${size}.`, {
    hint: 'A file this large is refused before it is decoded: shrink it first.',
  });
}

/** The decoder's last word, without the names of its functions. */
function reason(cause: unknown): string {
  const lines = cause instanceof Error ? cause.message.split('\n') : [];
  const last = lines.at(-1)?.replace(/^.*: /, '') ?? '';
  return last === '' || /unknown error|corrupt header/i.test(last) ? '' : `: ${last}`;
}
