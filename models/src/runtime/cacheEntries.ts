/**
 * What lies in the cache: `<cache>/<kind>/…`, a file each. Kept under a limit: entries longest unused go first, but
 * none that a live process has a lease on (`leases.ts`). A file's modification time is its last use.
 */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DermcapError } from '../errors.js';
import { PARTIAL } from './cache.js';
import { LEASES, leasedEntries } from './leases.js';

export { defaultCacheDir } from './cache.js';

export interface CacheEntry {
  /** Folder of the cache it lies in: what it is. */
  kind: string;
  path: string;
  sizeBytes: number;
  /** Last use, ms since 1970. */
  usedMs: number;
  /** Left by a writer that has not finished, or never will. */
  isPartial: boolean;
}

const DEFAULT_LIMIT_BYTES = 20e9;
/** An unfinished file that nobody has written to for so long belongs to a writer that crashed. */
const ABANDONED_MS = 60 * 60_000;
/** A younger entry may be on its way to a session whose lease we have not seen. */
const FRESH_MS = 60_000;
/** Of the limit; what is left after pruning, so that it is not needed again at once. */
const KEPT_SHARE = 0.9;
/** Kept under a limit of its own by the server's picture cache. */
const OWN_LIMIT = ['pictures'];

const UNITS: Record<string, number> = { '': 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 };

/**
 * The most bytes to keep: `DERMCAP_CACHE_LIMIT` (`20GB`, `500 MB`, `1.5T`, or bytes), else 20 GB.
 * @throws DermcapError `cache-limit-invalid`
 */
export function cacheLimit(env: NodeJS.ProcessEnv = process.env): number {
  const text = env['DERMCAP_CACHE_LIMIT']?.trim();
  if (!text) return DEFAULT_LIMIT_BYTES;
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([kmgt]?)b?$/i.exec(text) ?? [];
  if (number === undefined)
    throw new DermcapError('cache-limit-invalid', `DERMCAP_CACHE_LIMIT is “${text}”, which is no size.`, {
      hint: 'Give a size such as 20GB or 500MB.',
    });
  return Number(number) * UNITS[unit!.toLowerCase()]!;
}

/** Every entry, in the order of their paths. A folder that is not there is empty. */
export async function listCache(cacheDir: string, kinds?: readonly string[]): Promise<CacheEntry[]> {
  const folders = await readdir(cacheDir, { withFileTypes: true }).catch(() => []);
  const entries: CacheEntry[] = [];
  for (const { name: kind } of folders.filter(folder => folder.isDirectory()).sort(byName)) {
    if (kind === LEASES || (kinds && !kinds.includes(kind))) continue;
    const files = await readdir(join(cacheDir, kind), { recursive: true, withFileTypes: true });
    for (const file of files.filter(file => file.isFile()).sort(byName)) {
      const path = join(file.parentPath, file.name);
      const found = await stat(path).catch(() => null); // gone meanwhile
      if (found)
        entries.push({
          kind,
          path,
          sizeBytes: found.size,
          usedMs: found.mtimeMs,
          isPartial: file.name.endsWith(PARTIAL),
        });
    }
  }
  return entries;
}

/**
 * Removes unfinished files of crashed writers and, above the limit, entries longest unused until nine tenths of it are
 * left. Entries in use stay, whatever the size.
 * @returns what was removed
 */
export async function pruneCache(
  cacheDir: string,
  { limitBytes = cacheLimit(), now = Date.now() } = {},
): Promise<CacheEntry[]> {
  const kinds = (await readdir(cacheDir).catch(() => [])).filter(kind => !OWN_LIMIT.includes(kind));
  const entries = await listCache(cacheDir, kinds);
  const removed: CacheEntry[] = [];
  for (const entry of entries)
    if (entry.isPartial && now - entry.usedMs > ABANDONED_MS && (await removeUnchanged(entry)))
      removed.push(entry);

  let size = entries.reduce((sum, entry) => sum + entry.sizeBytes, 0);
  if (size <= limitBytes) return removed;
  const leased = await leasedEntries(cacheDir, now);
  const oldestFirst = entries
    .filter(entry => !entry.isPartial && !leased.has(entry.path) && now - entry.usedMs > FRESH_MS)
    .sort((a, b) => a.usedMs - b.usedMs);
  for (const entry of oldestFirst) {
    if (size <= KEPT_SHARE * limitBytes) break;
    if (!(await removeUnchanged(entry))) continue;
    size -= entry.sizeBytes;
    removed.push(entry);
  }
  return removed;
}

/**
 * Removes entries, all or those of some kinds, but none that is in use.
 * @returns what was removed, and what was left because a live process uses it
 */
export async function clearCache(
  cacheDir: string,
  { kinds, now = Date.now() }: { kinds?: readonly string[] | undefined; now?: number } = {},
): Promise<{ removed: CacheEntry[]; inUse: CacheEntry[] }> {
  const entries = await listCache(cacheDir, kinds);
  const leased = await leasedEntries(cacheDir, now);
  const isUsed = (entry: CacheEntry) =>
    leased.has(entry.path) || (entry.isPartial && now - entry.usedMs <= ABANDONED_MS);
  const removed: CacheEntry[] = [];
  const inUse: CacheEntry[] = [];
  for (const entry of entries) {
    if (isUsed(entry) || !(await removeUnchanged(entry))) inUse.push(entry);
    else removed.push(entry);
  }
  return { removed, inUse };
}

/**
 * Removes an entry unless it was used since it was listed. False when it stays.
 * @throws DermcapError `cache-unwritable`
 */
async function removeUnchanged({ path, usedMs }: CacheEntry): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  if (found && found.mtimeMs !== usedMs) return false;
  try {
    await rm(path, { force: true });
  } catch (cause) {
    throw new DermcapError('cache-unwritable', `${path} cannot be removed: ${(cause as Error).message}.`, {
      cause,
    });
  }
  return true;
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
