import { resolve } from 'node:path';
import { writeAtomically } from './cache.js';
import { cacheLimit, pruneCache } from './cacheEntries.js';
import { Lease, touch } from './leases.js';

/** The cache is measured, and pruned, at the first entry written and whenever this share of its limit was added. */
const MEASURE_SHARE = 1 / 20;

/** The cache as one open model uses it: what it reads and writes stays until the model is closed. */
export class CacheUse {
  readonly dir: string;
  readonly #lease: Lease;
  #unmeasuredBytes = Infinity;

  constructor(cacheDir: string) {
    // Absolute: onnxruntime is given its files relative to the file system's root.
    this.dir = resolve(cacheDir);
    this.#lease = new Lease(this.dir);
  }

  /** Notes that an entry is used. To be called before it is looked for. */
  async use(path: string): Promise<void> {
    await this.#lease.add(path);
    await touch(path);
  }

  /**
   * Writes an entry, used from then on, and removes old ones where there are too many.
   * @throws DermcapError `cache-unwritable`, `cache-limit-invalid`
   */
  async write(path: string, data: Uint8Array): Promise<void> {
    const limitBytes = cacheLimit();
    await this.#lease.add(path);
    await writeAtomically(path, data);
    this.#unmeasuredBytes += data.byteLength;
    if (this.#unmeasuredBytes < MEASURE_SHARE * limitBytes) return;
    this.#unmeasuredBytes = 0;
    // A cache too large is no reason not to open the model.
    await pruneCache(this.dir, { limitBytes }).catch(() => undefined);
  }

  /** The model is closed: its entries may go. */
  release(): Promise<void> {
    return this.#lease.release();
  }
}
