/**
 * Who uses which entries of the cache. An open model has one file under `<cache>/leases`: a line that says which process
 * it belongs to, then a line per entry. While the model is open its file is touched now and then; a lease ends when it
 * is released, when its process is gone, or, as one cannot see processes of other machines that share the folder, when it
 * has not been touched for an hour.
 *
 * On Linux and macOS a file may be unlinked while it is mapped, but not on network file systems; and a model that is
 * being opened still has to find its files by name.
 */
import { randomUUID } from 'node:crypto';
import { appendFile, mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, relative, resolve } from 'node:path';

/** Folder of the leases in the cache. */
export const LEASES = 'leases';
const HEARTBEAT_MS = 15 * 60_000;
const EXPIRED_MS = 60 * 60_000;

interface Holder {
  host: string;
  pid: number;
}

/** The entries that one open model reads. Where the folder cannot be written there is no lease, and no error. */
export class Lease {
  readonly #cacheDir: string;
  readonly #file: string;
  readonly #heartbeat: NodeJS.Timeout;
  #opened: Promise<void> | null = null;
  #isReleased = false;

  constructor(cacheDir: string) {
    this.#cacheDir = resolve(cacheDir);
    this.#file = join(this.#cacheDir, LEASES, randomUUID());
    this.#heartbeat = setInterval(() => void touch(this.#file), HEARTBEAT_MS).unref();
  }

  async add(path: string): Promise<void> {
    if (this.#isReleased) return;
    this.#opened ??= this.#open();
    await this.#opened;
    await appendFile(this.#file, `${relative(this.#cacheDir, path)}\n`).catch(() => undefined);
  }

  async release(): Promise<void> {
    this.#isReleased = true;
    clearInterval(this.#heartbeat);
    await this.#opened;
    await rm(this.#file, { force: true }).catch(() => undefined);
  }

  async #open(): Promise<void> {
    const holder: Holder = { host: hostname(), pid: process.pid };
    try {
      await mkdir(join(this.#cacheDir, LEASES), { recursive: true, mode: 0o700 });
      await writeFile(this.#file, `${JSON.stringify(holder)}\n`, { mode: 0o600 });
      // Leases of those that ended without a goodbye do not pile up.
      await leasedEntries(this.#cacheDir);
    } catch {
      // A cache that can only be read is not pruned from here either.
    }
  }
}

/** Paths of the entries that live processes use. Leases of others are removed. */
export async function leasedEntries(cacheDir: string, now = Date.now()): Promise<Set<string>> {
  const folder = join(cacheDir, LEASES);
  const paths = new Set<string>();
  for (const name of await readdir(folder).catch(() => [])) {
    const file = join(folder, name);
    const found = await Promise.all([readFile(file, 'utf8'), stat(file)]).catch(() => null);
    if (!found) continue; // released meanwhile
    const [text, { mtimeMs }] = found;
    const [first, ...entries] = text.trimEnd().split('\n');
    if (isLive(first!, now - mtimeMs)) for (const entry of entries) paths.add(join(cacheDir, entry));
    else await rm(file, { force: true }).catch(() => undefined);
  }
  return paths;
}

function isLive(line: string, ageMs: number): boolean {
  if (ageMs > EXPIRED_MS) return false;
  let holder: Holder;
  try {
    holder = JSON.parse(line) as Holder;
  } catch {
    return true; // still being written
  }
  if (holder.host !== hostname()) return true;
  try {
    process.kill(holder.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Makes now a file's time of last use, where that can be written. */
export async function touch(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => undefined);
}
