/**
 * Finds the images that a manifest names: as a path below the root, by the end of a path that was written on
 * another machine, or by the bare name, with or without its ending. The folder is read once. What leads out of
 * the root is never looked at.
 */
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DermcapError } from '@dermcap/models/errors';
import { ImageFolders, isImageName } from './listing.js';
import { resolveInside } from './paths.js';
import type { RowState } from './source.js';

export type Found = { path: string } | { state: RowState; reason: string };

const EXTENSION = /\.[a-z0-9]{2,5}$/i;

export class ImageIndex {
  readonly #root: string;
  readonly #names: readonly string[];
  readonly #paths: Set<string>;
  /** Positions in `#names` by lower-case file name, with and without its ending. */
  readonly #byName = new Map<string, number | number[]>();
  readonly #same = new Map<string, Promise<boolean>>();

  private constructor(root: string, names: readonly string[]) {
    this.#root = root;
    this.#names = names;
    this.#paths = new Set(names);
    for (const [position, path] of names.entries()) {
      const name = fileName(path).toLowerCase();
      this.#add(name, position);
      const stem = name.replace(EXTENSION, '');
      if (stem !== name) this.#add(`${stem}/`, position);
    }
  }

  /**
   * Reads the names of all images below a root.
   * @param root real path
   * @throws DermcapError as `ImageFolders.all`
   */
  static async read(root: string): Promise<ImageIndex> {
    return new ImageIndex(root, await new ImageFolders(root, { forDatasets: true }).all());
  }

  get size(): number {
    return this.#names.length;
  }

  /** Whether some image goes by that name; nothing is asked of the disk. */
  has(name: string): boolean {
    const path = clean(name);
    return path !== null && (this.#paths.has(path) || this.#candidates(path).length > 0);
  }

  /**
   * @param name as the manifest has it
   * @param base folder of the manifest, relative to the root
   */
  async find(name: string, base = ''): Promise<Found> {
    const given = name.trim();
    if (given === '') return { state: 'no-image', reason: 'names no image' };
    const inside = this.#relative(given, base);
    if (inside === null) {
      return {
        state: 'outside-root',
        reason: `names “${shorten(given)}”, which lies outside the dataset’s folder`,
      };
    }
    for (const path of inside.paths) if (this.#paths.has(path)) return { path };
    const candidates = this.#candidates(inside.paths[0]!);
    if (candidates.length === 0) return this.#missing(given, inside);
    const best = deepest(candidates, inside.paths[0]!);
    if (best.length === 1 || (await this.#sameBytes(best))) return { path: best[0]! };
    return {
      state: 'ambiguous',
      reason: `names “${shorten(given)}”, which fits ${best.length} images that differ: ${best.slice(0, 3).join(', ')}`,
    };
  }

  #add(key: string, position: number): void {
    const known = this.#byName.get(key);
    if (known === undefined) this.#byName.set(key, position);
    else if (typeof known === 'number') this.#byName.set(key, [known, position]);
    else known.push(position);
  }

  #candidates(path: string): string[] {
    const name = fileName(path).toLowerCase();
    const exact = this.#byName.get(name);
    const found = exact ?? this.#byName.get(`${name}/`) ?? this.#otherEnding(name);
    if (found === undefined) return [];
    return (typeof found === 'number' ? [found] : found).map(position => this.#names[position]!);
  }

  /** An image that was saved in another format than the manifest says. */
  #otherEnding(name: string): number | number[] | undefined {
    const stem = name.replace(EXTENSION, '');
    return stem === name ? undefined : this.#byName.get(`${stem}/`);
  }

  /** Places below the root that a name may mean, the likeliest first; null for one outside. */
  #relative(given: string, base: string): { paths: string[]; foreign: boolean } | null {
    if (/^[a-z][a-z0-9+.-]*:\/\//i.test(given)) {
      const path = clean(decodeURISafely(given.replace(/[?#].*$/, '')));
      return { paths: [fileName(path ?? '')], foreign: true };
    }
    const plain = given.replaceAll('\\', '/');
    const absolute = /^(?:[a-z]:)?\/|^~\//i.test(plain);
    if (absolute) {
      // Written on another machine, or on this one: only what lies in the root is ever taken.
      const path = clean(plain.startsWith(`${this.#root}/`) ? plain.slice(this.#root.length) : plain);
      return path === null ? null : { paths: [path], foreign: true };
    }
    const fromBase = clean(base === '' ? plain : `${base}/${plain}`);
    const fromRoot = clean(plain);
    const paths = [fromBase, fromRoot].filter(path => path !== null);
    return paths.length === 0 ? null : { paths, foreign: false };
  }

  async #missing(given: string, inside: { paths: string[]; foreign: boolean }): Promise<Found> {
    if (!inside.foreign) {
      try {
        await resolveInside(this.#root, inside.paths[0]!);
        return {
          state: 'missing',
          reason: `names “${shorten(given)}”, which is not a file of an image format`,
        };
      } catch (error) {
        // A link that leads out is not listed: it says so rather than that nothing is there.
        if (error instanceof DermcapError && error.code === 'path-outside-root') {
          return {
            state: 'outside-root',
            reason: `names “${shorten(given)}”, which leads out of the dataset’s folder`,
          };
        }
      }
    }
    return { state: 'missing', reason: `names “${shorten(given)}”, which is not in the dataset’s folder` };
  }

  /** Copies of one image under one name, as some archives are packed twice, are not ambiguous. */
  #sameBytes(paths: readonly string[]): Promise<boolean> {
    const key = paths.join('\0');
    let same = this.#same.get(key);
    if (!same) {
      same = this.#compare(paths);
      this.#same.set(key, same);
    }
    return same;
  }

  async #compare(paths: readonly string[]): Promise<boolean> {
    if (paths.length > 8) return false;
    const files = paths.map(path => join(this.#root, path));
    try {
      const sizes = await Promise.all(files.map(async file => (await stat(file)).size));
      if (sizes.some(size => size !== sizes[0])) return false;
      for (const other of files.slice(1)) if (!(await equalBytes(files[0]!, other))) return false;
      return true;
    } catch {
      return false;
    }
  }
}

/** Folds `.` and `..`, drops doubled separators; null when it leads out or cannot be a path. */
function clean(path: string): string | null {
  const parts: string[] = [];
  for (const part of path.replaceAll('\\', '/').split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) return null;
  }
  return parts.length === 0 || path.includes('\0') ? null : parts.join('/');
}

function fileName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function decodeURISafely(url: string): string {
  try {
    return decodeURIComponent(url);
  } catch {
    return url;
  }
}

/** Those of the candidates that share most folders with the wanted path, from the end. */
function deepest(candidates: readonly string[], wanted: string): string[] {
  const parts = wanted.toLowerCase().split('/').slice(0, -1).reverse();
  const depth = (path: string): number => {
    const folders = path.toLowerCase().split('/').slice(0, -1).reverse();
    let shared = 0;
    while (shared < parts.length && folders[shared] === parts[shared]) shared++;
    return shared;
  };
  const depths = candidates.map(depth);
  const most = Math.max(...depths);
  const best = candidates.filter((_path, index) => depths[index] === most);
  // The same letters in the same case decide before anything is compared.
  const exact = best.filter(path => fileName(path) === fileName(wanted));
  if (exact.length > 0) return exact;
  // Where a name without its ending fits a DICOM file and its JPEG, the picture is meant.
  const pictures = best.filter(isImageName);
  return pictures.length > 0 ? pictures : best;
}

async function equalBytes(one: string, other: string): Promise<boolean> {
  const handles = await Promise.all([open(one, 'r'), open(other, 'r')]);
  const buffers = handles.map(() => Buffer.alloc(1 << 18));
  try {
    for (;;) {
      const read = await Promise.all(
        handles.map(
          async (handle, index) => (await handle.read(buffers[index]!, 0, buffers[index]!.length)).bytesRead,
        ),
      );
      if (read[0] !== read[1]) return false;
      if (read[0] === 0) return true;
      if (!buffers[0]!.subarray(0, read[0]).equals(buffers[1]!.subarray(0, read[1]))) return false;
    }
  } finally {
    await Promise.all(handles.map(handle => handle.close()));
  }
}

function shorten(text: string): string {
  const plain = text.replace(/\p{Cc}/gu, '\u{fffd}');
  return plain.length > 200 ? `${plain.slice(0, 200)}…` : plain;
}
