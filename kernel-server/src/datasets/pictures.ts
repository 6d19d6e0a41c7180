/**
 * Pictures for the screen: thumbnails, and images that a browser can show. Made once and kept on disk under
 * a name that follows from the file's real path, size and modification time, so a changed file is a new one.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { DermcapError } from '@dermcap/models/errors';
import pLimit from 'p-limit';
import type { Sharp } from 'sharp';
import { FORMAT_BYTES, imageFormat, MAX_PIXELS } from './image-format.js';
import { PictureCache } from './picture-cache.js';

/** Longer side of a converted image: beyond any screen, below WebP's 16,383. */
const MAX_CONVERTED_SIDE = 8192;
/** Part of every cache name: raise it when pictures made by older code must not be shown. */
const CACHE_FORMAT = 1;
/** Decodes at once: each may hold a whole decoded image. */
const PARALLEL_DECODES = 4;
/** How soon making ahead looks again whether somebody waits. */
const WARM_PAUSE_MS = 20;

/** What every browser shows. */
const BROWSER_TYPES = new Set(['image/jpeg', 'image/png', 'image/gif', 'image/webp']);

/** A file ready to be sent. */
export interface Picture {
  file: string;
  contentType: string;
  /** Strong entity tag, with its quotes. */
  etag: string;
}

/** Makes and keeps thumbnails and browser-readable versions of images. */
export class Pictures {
  readonly #cache: PictureCache;
  readonly #limit = pLimit(PARALLEL_DECODES);
  readonly #making = new Map<string, Promise<void>>();
  /** Thumbnails that somebody waits for. */
  #asked = 0;

  constructor(cacheDir: string) {
    this.#cache = new PictureCache(join(cacheDir, 'pictures'));
  }

  /**
   * A WebP no larger than `size` on its longer side, turned upright by EXIF, without metadata.
   * @param file real path of the image
   * @throws DermcapError `not-a-file` or `image-unreadable`
   */
  async thumbnail(file: string, size: number): Promise<Picture> {
    this.#asked++;
    try {
      return await this.#thumbnail(file, size);
    } finally {
      this.#asked--;
    }
  }

  #thumbnail(file: string, size: number): Promise<Picture> {
    return this.#derived(file, `thumbnail-${size}`, image =>
      // Effort 2 takes a third less processor time than the default and a tenth more space.
      image.resize(size, size, { fit: 'inside', withoutEnlargement: true }).webp({ quality: 80, effort: 2 }),
    );
  }

  /**
   * Makes thumbnails ahead, one by one and only while nobody waits for a picture. What cannot be made is passed
   * over: whoever asks for it is told why.
   * @param files real paths, or what gives one, such as `ImageFiles.file`
   * @returns how many are there now
   */
  async warm(
    files: Iterable<string | (() => Promise<string>)>,
    size: number,
    signal?: AbortSignal,
  ): Promise<number> {
    let done = 0;
    for (const file of files) {
      while (this.#asked > 0 && !signal?.aborted) await setTimeout(WARM_PAUSE_MS);
      if (signal?.aborted) break;
      try {
        await this.#thumbnail(typeof file === 'string' ? file : await file(), size);
        done++;
      } catch (error) {
        if (!(error instanceof DermcapError) && !(error as NodeJS.ErrnoException).code) throw error;
      }
    }
    return done;
  }

  /**
   * The file itself when browsers show its format, else a WebP of it. In the first case the browser turns it
   * upright by EXIF.
   * @param file real path of the image
   * @throws DermcapError `not-a-file` or `image-unreadable`
   */
  async original(file: string): Promise<Picture> {
    const format = imageFormat(await readStart(file));
    const contentType = `image/${format}`;
    if (BROWSER_TYPES.has(contentType))
      return { file, contentType, etag: quoted(await fingerprint(file, 'original')) };
    return this.#derived(file, 'converted', image =>
      image
        .resize(MAX_CONVERTED_SIDE, MAX_CONVERTED_SIDE, { fit: 'inside', withoutEnlargement: true })
        .webp({ quality: 92 }),
    );
  }

  async #derived(file: string, variant: string, convert: (image: Sharp) => Sharp): Promise<Picture> {
    const hash = await fingerprint(file, variant);
    const name = `${hash}.webp`;
    let making = this.#making.get(hash);
    if (!making) {
      making = this.#limit(() => this.#make(file, name, convert)).finally(() => this.#making.delete(hash));
      this.#making.set(hash, making);
    }
    await making;
    return { file: this.#cache.path(name), contentType: 'image/webp', etag: quoted(hash) };
  }

  async #make(file: string, name: string, convert: (image: Sharp) => Sharp): Promise<void> {
    if (await this.#cache.has(name)) return;
    const bytes = await encode(file, convert);
    await storeWhole(this.#cache.path(name), bytes);
    this.#cache.added(bytes.length);
  }
}

const quoted = (hash: string): string => `"${hash}"`;

/** Name of a derived picture: sha256 over what its pixels follow from. */
async function fingerprint(file: string, variant: string): Promise<string> {
  const { size, mtimeNs } = await statFile(file);
  return createHash('sha256')
    .update([CACHE_FORMAT, variant, size, mtimeNs, file].join('\0'))
    .digest('hex')
    .slice(0, 40);
}

async function statFile(file: string): Promise<{ size: bigint; mtimeNs: bigint }> {
  const { size, mtimeNs, ...rest } = await stat(file, { bigint: true });
  if ((Number(rest.mode) & 0o170000) !== 0o100000) {
    throw new DermcapError('not-a-file', `“${basename(file)}” is not a file.`);
  }
  return { size, mtimeNs };
}

/** Writes a whole file or none. */
export async function storeWhole(target: string, bytes: Buffer): Promise<void> {
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  const temporary = `${target}.${randomUUID()}`;
  try {
    await writeFile(temporary, bytes, { mode: 0o600 });
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function encode(file: string, convert: (image: Sharp) => Sharp): Promise<Buffer> {
  const start = await readStart(file);
  if (start.length === 0) throw unreadable(file, 'it is empty');
  const format = imageFormat(start);
  // DICOM pictures come here as what `ImageFiles` made of them.
  if (format === null || format === 'dicom') throw unreadable(file, 'its content is of no known kind');
  const { default: sharp } = await import('sharp');
  try {
    const image = sharp(file, { limitInputPixels: MAX_PIXELS, failOn: 'error', sequentialRead: true });
    // sRGB and no metadata are sharp's defaults for its output.
    return await convert(image.autoOrient()).toBuffer();
  } catch (error) {
    throw unreadable(file, decoderReason(error), error);
  }
}

/** @param file real path or name: the sentence has its last part */
export function unreadable(file: string, why: string, cause?: unknown): DermcapError {
  return new DermcapError('image-unreadable', `“${basename(file)}” cannot be read as an image: ${why}.`, {
    hint: 'The file may be damaged, cut short, or not an image.',
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The decoder's own words without paths: its first line, which names the fault. */
export function decoderReason(error: unknown): string {
  const line = (error instanceof Error ? error.message : String(error)).split('\n')[0]!.trim();
  return line.replace(/(\/[^\s:]+)+/g, 'the file').replace(/\.+$/, '') || 'unknown reason';
}

async function readStart(file: string): Promise<Buffer> {
  await statFile(file);
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(FORMAT_BYTES), 0, FORMAT_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
