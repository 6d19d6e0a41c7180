/** What there is to know of an image's bytes: hash, size, dimensions, perceptual hash. */
import { createHash } from 'node:crypto';
import { open, readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { DermcapError } from '@dermcap/models/errors';
import type { Sharp } from 'sharp';
import { dicomPicture, type DicomPolicy } from './dicom.js';
import type { EmbeddedImages } from './embedded.js';
import { sha256OfFile } from './image-changes.js';
import { FORMAT_BYTES, imageFormat, MAX_PIXELS } from './image-format.js';
import { resolveInside } from './paths.js';
import { perceptualHash } from './perceptual-hash.js';
import { decoderReason, unreadable } from './pictures.js';
import type { EmbeddedImage, ImageFacts } from './source.js';

/** A file beyond this is hashed in pieces and decoded from the disk. */
const MAX_READ_BYTES = 64_000_000;

export interface ImageRef {
  /** Relative to the dataset's root. */
  path: string;
  embedded?: EmbeddedImage;
}

export interface ImageFault {
  state: 'missing' | 'outside-root' | 'unreadable';
  /** A machine-readable code, such as `dicom-identifiable`. */
  code: string;
  /** A sentence. */
  reason: string;
}

export type FactsResult = { path: string; facts: ImageFacts } | { path: string; fault: ImageFault };

export interface FactsContext {
  /** Real path of the dataset's folder. */
  root: string;
  embedded: EmbeddedImages;
  dicom?: DicomPolicy;
  /** Facts of files that have several names (hard links), by device, inode, size and time. */
  linked: Map<string, ImageFacts>;
}

/** Names of one file are kept for this many files. */
const MAX_LINKED = 100_000;

/**
 * Facts of one image, or why there are none. Facts known before are given back as they are while size and time
 * of the file have not changed.
 */
export async function imageFacts(
  image: ImageRef,
  context: FactsContext,
  known?: ImageFacts,
): Promise<FactsResult> {
  const { path } = image;
  try {
    if (image.embedded) {
      const bytes = await context.embedded.read(image.embedded);
      return { path, facts: { ...(await factsOfBytes(bytes, path, context.dicom)), modifiedNs: '0' } };
    }
    const file = await resolveInside(context.root, path);
    return { path, facts: await factsOfFile(file, path, context, known) };
  } catch (error) {
    return { path, fault: toFault(error) };
  }
}

function toFault(error: unknown): ImageFault {
  if (error instanceof DermcapError) {
    const { code, message } = error;
    const states: Record<string, ImageFault['state']> = {
      'no-such-file': 'missing',
      'path-outside-root': 'outside-root',
    };
    return { state: states[code] ?? 'unreadable', code, reason: message };
  }
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT')
    return { state: 'missing', code: 'no-such-file', reason: 'The file is not there any more.' };
  if (code === 'EACCES' || code === 'EPERM') {
    return {
      state: 'unreadable',
      code: 'no-permission',
      reason: 'The file may not be read: check its permissions.',
    };
  }
  return { state: 'unreadable', code: 'image-unreadable', reason: `The file cannot be read: ${message}.` };
}

async function factsOfFile(
  file: string,
  path: string,
  context: FactsContext,
  known: ImageFacts | undefined,
): Promise<ImageFacts> {
  const { size, mtimeNs, dev, ino, nlink, mode } = await stat(file, { bigint: true });
  if ((Number(mode) & 0o170000) !== 0o100000)
    throw new DermcapError('not-a-file', `“${basename(path)}” is not a file.`);
  const modifiedNs = String(mtimeNs);
  if (known?.sizeBytes === Number(size) && known.modifiedNs === modifiedNs) return known;
  const key = nlink > 1n ? `${dev}:${ino}:${size}:${mtimeNs}` : null;
  const linked = key === null ? undefined : context.linked.get(key);
  if (linked) return linked;
  const facts =
    size > MAX_READ_BYTES
      ? await factsOfLargeFile(file, Number(size), context.dicom)
      : await factsOfBytes(await readFile(file), path, context.dicom);
  const complete = { ...facts, modifiedNs };
  if (key !== null) {
    if (context.linked.size >= MAX_LINKED) context.linked.clear();
    context.linked.set(key, complete);
  }
  return complete;
}

type BareFacts = Omit<ImageFacts, 'modifiedNs'>;

/**
 * @param name what the image goes by in sentences
 * @throws DermcapError `image-unreadable`, or as `dicomPicture`
 */
export async function factsOfBytes(bytes: Buffer, name: string, dicom?: DicomPolicy): Promise<BareFacts> {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return {
    sizeBytes: bytes.length,
    sha256,
    ...(await pictureFacts(bytes.subarray(0, FORMAT_BYTES), bytes, name, dicom)),
  };
}

async function factsOfLargeFile(file: string, sizeBytes: number, dicom?: DicomPolicy): Promise<BareFacts> {
  const handle = await open(file, 'r');
  const start = Buffer.alloc(FORMAT_BYTES);
  try {
    await handle.read(start, 0, FORMAT_BYTES, 0);
  } finally {
    await handle.close();
  }
  const isDicom = imageFormat(start) === 'dicom';
  const picture = await pictureFacts(start, isDicom ? await readFile(file) : file, basename(file), dicom);
  return { sizeBytes, sha256: await sha256OfFile(file), ...picture };
}

async function pictureFacts(
  start: Buffer,
  input: Buffer | string,
  name: string,
  dicom?: DicomPolicy,
): Promise<Pick<ImageFacts, 'width' | 'height' | 'format' | 'perceptualHash'>> {
  if (input.length === 0) throw unreadable(name, 'it is empty');
  const format = imageFormat(start);
  if (format === null) throw unreadable(name, 'its content is of no known kind');
  const open = async (): Promise<Sharp> => {
    if (format === 'dicom') return dicomPicture(input as Buffer, name, dicom);
    const { default: sharp } = await import('sharp');
    return sharp(input, { limitInputPixels: MAX_PIXELS, failOn: 'error', sequentialRead: true });
  };
  const image = await open();
  try {
    const { width, height, autoOrient } = await image.metadata();
    return {
      width: autoOrient?.width ?? width,
      height: autoOrient?.height ?? height,
      format,
      perceptualHash: await perceptualHash(image),
    };
  } catch (error) {
    throw unreadable(name, decoderReason(error), error);
  }
}
