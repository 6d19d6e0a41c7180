/**
 * The cache of what had to be computed from checkpoints: hashes, comparisons and weights that are not stored
 * as contiguous fp32. Everything in it can be deleted at any time.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

export function defaultCacheDir(): string {
  return (
    process.env['DERMCAP_CACHE'] ??
    join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'dermcap')
  );
}

/** Writes a file so that readers see the whole of it or nothing: temporary name, then rename. */
export async function writeAtomically(path: string, data: Uint8Array | string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomUUID()}.part`;
  await writeFile(temporary, data, { mode: 0o600 });
  await rename(temporary, path);
}

/** What tells one state of a file from another without reading it: path, inode, size, modification time. */
export async function fileIdentity(path: string): Promise<string> {
  const { dev, ino, size, mtimeNs } = await stat(path, { bigint: true });
  return [path, dev, ino, size, mtimeNs].join('|');
}

/** A JSON value computed once per key; `compute` runs again when the entry is missing or unreadable. */
export async function cachedJson<T>(path: string, compute: () => Promise<T>): Promise<T> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch {
    const value = await compute();
    await writeAtomically(path, JSON.stringify(value));
    return value;
  }
}
