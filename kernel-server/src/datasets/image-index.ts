/**
 * Finds the images that a manifest names: as a path below the root, by the end of a path that was written on
 * another machine, or by the bare name, with or without its ending. The folder is read once. What leads out of
 * the root is never looked at.
 */
import { lstat, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DermcapError } from '@dermcap/models/errors';
import { ImageFolders, isImageName } from './listing.js';
import { resolveInside } from './paths.js';
import type { RowState } from './source.js';

export type Found = { path: string } | { state: RowState; reason: string };

type Place = 'inside' | 'outside' | 'nowhere';

const EXTENSION = /\.[a-z0-9]{2,5}$/i;

export class ImageIndex {
  readonly #root: string;
  readonly #names: readonly string[];
  readonly #paths: Set<string>;
  /** Positions in `#names` by lower-case file name without its ending. */
  readonly #byStem = new Map<string, number | number[]>();
  readonly #same = new Map<string, Promise<boolean>>();
  readonly #folders = new Map<string, Promise<Place>>();

  private constructor(root: string, names: readonly string[]) {
    this.#root = root;
    this.#names = names;
    this.#paths = new Set(names);
    for (const [position, path] of names.entries()) {
      this.#add(stemOf(fileName(path).toLowerCase()), position);
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
    const known = this.#byStem.get(key);
    if (known === undefined) this.#byStem.set(key, position);
    else if (typeof known === 'number') this.#byStem.set(key, [known, position]);
    else known.push(position);
  }

  /** Images of that file name; else of that name and any ending; else saved in another format than it says. */
  #candidates(path: string): string[] {
    const name = fileName(path).toLowerCase();
    const sameStem = this.#at(stemOf(name));
    const exact = sameStem.filter(found => fileName(found).toLowerCase() === name);
    if (exact.length > 0) return exact;
    const anyEnding = this.#at(name);
    return anyEnding.length > 0 ? anyEnding : sameStem;
  }

  #at(stem: string): string[] {
    const found = this.#byStem.get(stem);
    if (found === undefined) return [];
    return (typeof found === 'number' ? [found] : found).map(position => this.#names[position]!);
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
    const shown = shorten(given);
    const place = inside.foreign ? 'nowhere' : await this.#place(inside.paths[0]!);
    if (place === 'inside') {
      return { state: 'missing', reason: `names “${shown}”, which is not a file of an image format` };
    }
    // A link that leads out is not listed: it says so rather than that nothing is there.
    return place === 'outside'
      ? { state: 'outside-root', reason: `names “${shown}”, which leads out of the dataset’s folder` }
      : { state: 'missing', reason: `names “${shown}”, which is not in the dataset’s folder` };
  }

  /** Where a path leads that is no listed image. Folders are asked for once, as whole ones may be missing. */
  async #place(path: string): Promise<Place> {
    const folder = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    let asked = this.#folders.get(folder);
    if (!asked) {
      asked = placeOf(this.#root, folder);
      this.#folders.set(folder, asked);
    }
    const place = await asked;
    // Only within a folder that lies inside is the disk asked for the file itself.
    if (place !== 'inside' || !(await exists(join(this.#root, path))))
      return place === 'inside' ? 'nowhere' : place;
    return placeOf(this.#root, path);
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

async function placeOf(root: string, path: string): Promise<Place> {
  try {
    await resolveInside(root, path);
    return 'inside';
  } catch (error) {
    if (!(error instanceof DermcapError)) throw error;
    return error.code === 'path-outside-root' ? 'outside' : 'nowhere';
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch {
    return false;
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

function stemOf(name: string): string {
  return name.replace(EXTENSION, '');
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
