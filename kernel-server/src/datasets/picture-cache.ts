/**
 * The folder of derived pictures, kept under a size: those longest unused go first. Everything in it can be
 * made again, so nothing here is an error that a person must see.
 */
import { readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';

/** About 100,000 thumbnails. */
const MAX_BYTES = 1024 ** 3;
/** What is left after pruning, so that it is not needed again at once. */
const KEPT_SHARE = 0.8;
/** A picture's time of last use is written at most this often. */
const TOUCH_AFTER_MS = 24 * 60 * 60 * 1000;
/** A younger picture may be on its way to somebody. */
const MIN_AGE_MS = 60_000;

export interface PictureCacheOptions {
  maxBytes?: number;
  now?: () => number;
}

export class PictureCache {
  readonly #folder: string;
  readonly #maxBytes: number;
  readonly #now: () => number;
  readonly #limit = pLimit(16);
  /** Bytes added since the folder was last measured; infinite before the first time. */
  #unmeasured = Infinity;
  #pruning: Promise<void> | null = null;

  constructor(folder: string, options: PictureCacheOptions = {}) {
    this.#folder = folder;
    this.#maxBytes = options.maxBytes ?? MAX_BYTES;
    this.#now = options.now ?? Date.now;
  }

  /** Where the picture of this name lies, made or not. */
  path(name: string): string {
    return join(this.#folder, name.slice(0, 2), name);
  }

  /** True when the picture is there; notes that it was used. */
  async has(name: string): Promise<boolean> {
    const file = this.path(name);
    try {
      const { mtimeMs } = await stat(file);
      const now = this.#now();
      if (now - mtimeMs > TOUCH_AFTER_MS) await utimes(file, now / 1000, now / 1000);
      return true;
    } catch {
      return false;
    }
  }

  /** Tells that a picture was added; measures the folder and prunes it every tenth of its limit. */
  added(sizeBytes: number): void {
    this.#unmeasured += sizeBytes;
    if (this.#unmeasured < this.#maxBytes / 10 || this.#pruning) return;
    this.#unmeasured = 0;
    this.#pruning = this.prune()
      // The folder was removed or is another's: the next picture says so.
      .catch(() => undefined)
      .finally(() => (this.#pruning = null));
  }

  /** Removes what has longest not been used until the rest is well under the limit. */
  async prune(): Promise<void> {
    const names = await readdir(this.#folder, { recursive: true });
    const found = await Promise.all(names.map(name => this.#limit(() => measure(join(this.#folder, name)))));
    const files = found.filter(file => file !== null).sort((a, b) => a.usedMs - b.usedMs);
    let total = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    if (total <= this.#maxBytes) return;
    const youngest = this.#now() - MIN_AGE_MS;
    for (const { file, sizeBytes, usedMs } of files) {
      if (total <= this.#maxBytes * KEPT_SHARE || usedMs > youngest) return;
      await rm(file, { force: true });
      total -= sizeBytes;
    }
  }
}

async function measure(file: string): Promise<{ file: string; sizeBytes: number; usedMs: number } | null> {
  try {
    const found = await stat(file);
    return found.isFile() ? { file, sizeBytes: found.size, usedMs: found.mtimeMs } : null;
  } catch {
    return null;
  }
}
