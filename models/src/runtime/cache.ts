/**
 * The cache of what had to be computed from checkpoints: hashes, comparisons and weights that are not stored
 * as contiguous fp32. Everything in it can be deleted at any time.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { DermcapError } from '../errors.js';
import { touch } from './leases.js';

/** Ending of a file that is being written. */
export const PARTIAL = '.part';

export function defaultCacheDir(): string {
  // Set but empty is as good as not set (XDG Base Directory Specification).
  return (
    process.env['DERMCAP_CACHE'] ||
    join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'dermcap')
  );
}

/**
 * Writes a file so that readers see the whole of it or nothing: temporary name, then rename.
 * @throws DermcapError `cache-unwritable` naming the folder and the reason
 */
export async function writeAtomically(path: string, data: Uint8Array | string): Promise<void> {
  const temporary = `${path}.${randomUUID()}${PARTIAL}`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(temporary, data, { mode: 0o600 });
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new DermcapError(
      'cache-unwritable',
      `The cache folder ${dirname(path)} cannot be written: ${(cause as Error).message}.`,
      { hint: 'Name a folder with room for computed weights: --cache DIR, or DERMCAP_CACHE.', cause },
    );
  }
}

/** What tells one state of a file from another without reading it: path, inode, size, modification time. */
export async function fileIdentity(path: string): Promise<string> {
  const { dev, ino, size, mtimeNs } = await stat(path, { bigint: true });
  return [path, dev, ino, size, mtimeNs].join('|');
}

/** A JSON value computed once per key; `compute` runs again when the entry is missing or unreadable. */
export async function cachedJson<T>(path: string, compute: () => Promise<T>): Promise<T> {
  try {
    const value = JSON.parse(await readFile(path, 'utf8')) as T;
    await touch(path);
    return value;
  } catch {
    const value = await compute();
    // Only remembered to be quick: without a cache it is computed every time.
    await writeAtomically(path, JSON.stringify(value)).catch(() => undefined);
    return value;
  }
}
