/**
 * Where an image can be opened as a file of its own: where it lies, or, for one within a shard and for a DICOM
 * picture, a copy in the cache that is made when it is asked for. Everything that shows or captions images goes
 * through here.
 */
import { createHash } from 'node:crypto';
import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { dicomPicture, type DicomPolicy } from './dicom.js';
import { EmbeddedImages } from './embedded.js';
import type { ImageRef } from './image-facts.js';
import { FORMAT_BYTES, imageFormat } from './image-format.js';
import { PictureCache } from './picture-cache.js';
import { resolveInside } from './paths.js';
import { storeWhole } from './pictures.js';

/** Part of every cache name: raise it when copies made by older code must not be used. */
const CACHE_FORMAT = 1;

export class ImageFiles {
  readonly #root: string;
  readonly #cache: PictureCache;
  readonly #embedded: EmbeddedImages;
  readonly #dicom: DicomPolicy;
  readonly #making = new Map<string, Promise<string>>();

  /**
   * @param root real path of the dataset's folder
   * @param cacheDir where copies are kept, under a size
   */
  constructor(root: string, cacheDir: string, dicom: DicomPolicy = {}) {
    this.#root = root;
    this.#cache = new PictureCache(join(cacheDir, 'images'));
    this.#embedded = new EmbeddedImages(root);
    this.#dicom = dicom;
  }

  /**
   * @returns real path of a file in a format that browsers or sharp read
   * @throws DermcapError as `resolveInside`, `EmbeddedImages.read` and `dicomPicture`
   */
  async file({ path, embedded }: ImageRef): Promise<string> {
    const holder = await resolveInside(this.#root, embedded?.container ?? path);
    if (!embedded && !(await isDicom(holder))) return holder;
    const { size, mtimeNs } = await stat(holder, { bigint: true });
    const key = [
      CACHE_FORMAT,
      holder,
      size,
      mtimeNs,
      JSON.stringify(embedded ?? null),
      JSON.stringify(this.#dicom),
    ];
    const name = createHash('sha256').update(key.join('\0')).digest('hex').slice(0, 40);
    let making = this.#making.get(name);
    if (!making) {
      making = this.#make(
        name,
        async () => (embedded ? this.#embedded.read(embedded) : readFile(holder)),
        path,
      );
      making = making.finally(() => this.#making.delete(name));
      this.#making.set(name, making);
    }
    return making;
  }

  async #make(name: string, read: () => Promise<Buffer>, path: string): Promise<string> {
    if (await this.#cache.has(name)) return this.#cache.path(name);
    let bytes = await read();
    if (imageFormat(bytes.subarray(0, FORMAT_BYTES)) === 'dicom') {
      bytes = await (await dicomPicture(bytes, path, this.#dicom)).png({ compressionLevel: 3 }).toBuffer();
    }
    await storeWhole(this.#cache.path(name), bytes);
    this.#cache.added(bytes.length);
    return this.#cache.path(name);
  }
}

async function isDicom(file: string): Promise<boolean> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(FORMAT_BYTES), 0, FORMAT_BYTES, 0);
    return imageFormat(buffer.subarray(0, bytesRead)) === 'dicom';
  } finally {
    await handle.close();
  }
}
