/**
 * The images of a folder, page by page. Names come from one walk that is kept until a folder changes;
 * sizes and times are read for the page alone, so that a folder of 100,000 images pages quickly.
 */
import { opendir, realpath, stat } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { DermcapError } from '@dermcap/models/errors';
import pLimit from 'p-limit';
import type { ImageEntry, ImagePage } from '../contract/index.js';
import { naturalSort } from './natural-order.js';
import { resolveInside, splitPath } from './paths.js';

/** File name endings of formats that the image decoder reads. */
const IMAGE_EXTENSIONS = new Set([
  '.jpg',
  '.jpeg',
  '.jpe',
  '.jfif',
  '.png',
  '.webp',
  '.gif',
  '.tif',
  '.tiff',
  '.avif',
]);

/** Image formats that cannot be shown as they are: a dataset says so of each rather than leaving it out. */
const OTHER_IMAGE_EXTENSIONS = new Set(['.bmp', '.dcm', '.dicom', '.heic', '.heif', '.jp2', '.jxl', '.svg']);

/** Beyond this a listing would cost hundreds of MB; a root set too high (`/`) is the usual cause. */
const MAX_IMAGES = 500_000;
/** Deeper folders than anyone makes by hand; guards the recursion. */
const MAX_DEPTH = 64;
const MAX_CACHED_LISTINGS = 8;
const ENTRIES_AT_ONCE = 1000;
/** A folder changed this shortly before it was read may change again within the clock's tick: not kept. */
const RACY_MS = 2000;

/** Whether a file name looks like an image's; hidden files do not. */
export function isImageName(name: string): boolean {
  return !name.startsWith('.') && IMAGE_EXTENSIONS.has(extname(name).toLowerCase());
}

function isOtherImageName(name: string): boolean {
  return OTHER_IMAGE_EXTENSIONS.has(extname(name).toLowerCase());
}

interface Listing {
  /** Relative to the listed folder, in order. */
  names: string[];
  /** Every folder walked with its modification time. */
  folders: { path: string; modified: bigint }[];
  keep: boolean;
}

/** Lists the images of folders below one root. */
export class ImageFolders {
  readonly #root: string;
  readonly #cache = new Map<string, Promise<Listing>>();
  readonly #limit = pLimit(16);

  readonly #linksMayLeave: boolean;
  readonly #forDatasets: boolean;

  /**
   * @param rootRealPath the root with its own links resolved
   * @param options.linksMayLeave lists links to files outside the root too: for a person's own command line,
   *   never for a server
   * @param options.forDatasets lists images too that are not shown as they are
   */
  constructor(rootRealPath: string, options: { linksMayLeave?: boolean; forDatasets?: boolean } = {}) {
    this.#root = rootRealPath;
    this.#forDatasets = options.forDatasets ?? false;
    this.#linksMayLeave = options.linksMayLeave ?? false;
  }

  /**
   * One page of a folder's images in natural order, a folder's own before those of its subfolders.
   * Hidden files and folders are left out; links count when they lead to a file inside the root.
   * @throws DermcapError `path-outside-root`, `no-such-file`, `not-a-folder` or `too-many-images`
   */
  async page(query: {
    folder: string;
    recursive: boolean;
    offset: number;
    limit: number;
  }): Promise<ImagePage> {
    const folder = splitPath(query.folder).join('/');
    const real = await resolveInside(this.#root, query.folder);
    const { names } = await this.#listing(real, folder, query.recursive);
    const wanted = names.slice(query.offset, query.offset + query.limit);
    const images = await Promise.all(
      wanted.map(name => this.#limit(() => describe(join(real, name), folder ? `${folder}/${name}` : name))),
    );
    return { folder, total: names.length, offset: query.offset, images };
  }

  /**
   * Every image below the root, relative to it, in the order of {@link page}.
   * @throws DermcapError as `page` does
   */
  async all(): Promise<string[]> {
    return (await this.#listing(this.#root, '', true)).names;
  }

  async #listing(real: string, folder: string, recursive: boolean): Promise<Listing> {
    const key = `${recursive ? 'r' : 'f'}${real}`;
    const cached = this.#cache.get(key);
    if (cached && (await this.#isCurrent(cached))) {
      this.#cache.delete(key);
      this.#cache.set(key, cached);
      return cached;
    }
    const walking = this.#walk(real, folder, recursive);
    this.#cache.set(key, walking);
    if (this.#cache.size > MAX_CACHED_LISTINGS) this.#cache.delete(this.#cache.keys().next().value!);
    const forget = (): void => {
      if (this.#cache.get(key) === walking) this.#cache.delete(key);
    };
    walking.then(listing => !listing.keep && forget(), forget);
    return walking;
  }

  async #isCurrent(pending: Promise<Listing>): Promise<boolean> {
    try {
      const { folders } = await pending;
      const current = await Promise.all(
        folders.map(({ path, modified }) =>
          this.#limit(async () => (await stat(path, { bigint: true })).mtimeNs === modified),
        ),
      );
      return current.every(Boolean);
    } catch {
      return false;
    }
  }

  async #walk(real: string, folder: string, recursive: boolean): Promise<Listing> {
    const startMs = Date.now();
    const listing: Listing = { names: [], folders: [], keep: true };
    const visit = async (path: string, depth: number): Promise<void> => {
      const { mtimeNs } = await stat(path, { bigint: true });
      listing.folders.push({ path, modified: mtimeNs });
      if (Number(mtimeNs / 1_000_000n) > startMs - RACY_MS) listing.keep = false;
      const { files, folders } = await this.#read(path);
      const prefix = relative(real, path).split(sep).join('/');
      for (const name of await naturalSort(files)) listing.names.push(prefix ? `${prefix}/${name}` : name);
      if (listing.names.length > MAX_IMAGES) {
        throw new DermcapError('too-many-images', `“${folder}” holds more than ${MAX_IMAGES} images.`, {
          hint: 'Open a folder further down.',
        });
      }
      if (!recursive || depth === MAX_DEPTH) return;
      // Linked folders are not followed: they may lead out of the root or round in a circle.
      for (const name of await naturalSort(folders)) {
        try {
          await visit(join(path, name), depth + 1);
        } catch (error) {
          // Taken away meanwhile, not ours to read, or deeper than paths may be long: the others are listed.
          if (!isUnreadable(error) && !isUnreachable(error)) throw error;
        }
      }
    };
    try {
      await visit(real, 0);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'ENOTDIR') {
        throw new DermcapError('not-a-folder', `“${folder}” is a file, not a folder.`);
      }
      if (isUnreadable(error)) {
        throw new DermcapError('unreadable-folder', `The folder “${folder}” cannot be read.`, {
          hint: 'Check its permissions.',
        });
      }
      throw error;
    }
    return listing;
  }

  /** Names of a folder's images and subfolders, read in portions so that other work comes in between. */
  async #read(path: string): Promise<{ files: string[]; folders: string[] }> {
    const files: string[] = [];
    const folders: string[] = [];
    const links: Promise<void>[] = [];
    for await (const entry of await opendir(path, { bufferSize: ENTRIES_AT_ONCE })) {
      const { name } = entry;
      if (name.startsWith('.')) continue;
      if (entry.isDirectory()) folders.push(name);
      else if (!isImageName(name) && !(this.#forDatasets && isOtherImageName(name))) continue;
      else if (entry.isFile()) files.push(name);
      else if (entry.isSymbolicLink()) {
        links.push(
          this.#limit(async () => {
            if (await this.#linksToAllowedFile(join(path, name))) files.push(name);
          }),
        );
      }
    }
    await Promise.all(links);
    return { files, folders };
  }

  async #linksToAllowedFile(path: string): Promise<boolean> {
    try {
      const target = await realpath(path);
      const root = this.#root.endsWith(sep) ? this.#root : this.#root + sep;
      return (this.#linksMayLeave || target.startsWith(root)) && (await stat(target)).isFile();
    } catch {
      return false;
    }
  }
}

function isUnreadable(error: unknown): boolean {
  return ['EACCES', 'EPERM', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '');
}

function isUnreachable(error: unknown): boolean {
  return ['ENAMETOOLONG', 'ENOTDIR', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? '');
}

async function describe(file: string, path: string): Promise<ImageEntry> {
  const name = path.slice(path.lastIndexOf('/') + 1);
  try {
    const { size, mtimeMs } = await stat(file);
    return { path, name, sizeBytes: size, modifiedMs: mtimeMs };
  } catch {
    // Deleted since the folder was read: listed as empty, its thumbnail says what is wrong.
    return { path, name, sizeBytes: 0, modifiedMs: 0 };
  }
}
