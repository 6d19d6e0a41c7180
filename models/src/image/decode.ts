/**
 * Image files to RGB, as `PIL.Image.open(path).convert('RGB')` gives them: no rotation, no colour management,
 * alpha dropped. Decoding is sharp's (libvips); what it would convert by colour profiles, we take raw.
 */
import { open, stat } from 'node:fs/promises';
import sharp from 'sharp';
import type { Metadata } from 'sharp';
import { DermcapError } from '../errors.js';

export interface RgbImage {
  readonly width: number;
  readonly height: number;
  /** RGB, row-major, 3 bytes a pixel */
  readonly data: Uint8Array;
}

/** Pillow refuses images of more than twice its MAX_IMAGE_PIXELS as decompression bombs (CWE-409). */
const MAX_PIXELS = 2 * 89_478_485;

/** @throws DermcapError `image-*` naming the file and the reason */
export async function decodeImage(path: string, options: { autoOrient?: boolean } = {}): Promise<RgbImage> {
  await checkFile(path);
  const read = () => sharp(path, { failOn: 'truncated', limitInputPixels: false, ignoreIcc: true, sequentialRead: true });
  let meta: Metadata;
  try {
    meta = await read().metadata();
  } catch (cause) {
    throw new DermcapError('image-unreadable', `${path} is not an image that can be read: ${reason(cause)}`, {
      hint: 'JPEG, PNG, WebP, TIFF and GIF are read.',
      cause,
    });
  }
  if (meta.width * meta.height > MAX_PIXELS)
    throw new DermcapError('image-too-large', `${path} has ${meta.width} × ${meta.height} pixels; the limit is ${MAX_PIXELS}.`, {
      hint: 'A file this large is refused before it is decoded: shrink it first.',
    });
  try {
    let image = read();
    if (options.autoOrient) image = image.autoOrient();
    if (meta.space === 'cmyk') image = image.pipelineColourspace('cmyk').toColourspace('cmyk');
    const { data, info } = await image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, data: toRgb(data, info.channels, meta.space === 'cmyk') };
  } catch (cause) {
    throw new DermcapError('image-truncated', `${path} is incomplete or damaged: ${reason(cause)}`, {
      hint: 'Copy or download the image again.',
      cause,
    });
  }
}

async function checkFile(path: string): Promise<void> {
  const status = await stat(path).catch(cause => {
    throw new DermcapError('image-missing', `${path} does not exist or cannot be read.`, { cause });
  });
  if (!status.isFile()) throw new DermcapError('image-missing', `${path} is not a file.`);
  if (status.size === 0) throw new DermcapError('image-empty', `${path} is empty.`);
  const handle = await open(path).catch(cause => {
    throw new DermcapError('image-missing', `${path} cannot be opened.`, { cause });
  });
  await handle.close();
}

function toRgb(data: Buffer, channels: number, cmyk: boolean): Uint8Array {
  if (channels === 3) return data;
  const pixels = data.length / channels;
  const rgb = new Uint8Array(3 * pixels);
  for (let i = 0; i < pixels; i++)
    for (let c = 0; c < 3; c++) {
      const value = data[i * channels + (channels < 3 ? 0 : c)]!;
      rgb[3 * i + c] = cmyk ? Math.round(((255 - value) * (255 - data[i * channels + 3]!)) / 255) : value;
    }
  return rgb;
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
