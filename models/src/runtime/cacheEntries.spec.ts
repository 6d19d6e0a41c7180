import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cacheLimit, clearCache, listCache, pruneCache } from './cacheEntries.js';
import { CacheUse } from './cacheUse.js';
import { leasedEntries } from './leases.js';

const HOUR = 60 * 60_000;

let cacheDir: string;
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'dermcap-entries-'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(cacheDir, { recursive: true });
});

/** Writes an entry of so many bytes, last used so many hours ago. */
async function entry(path: string, bytes: number, hours: number): Promise<string> {
  const file = join(cacheDir, path);
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(file, new Uint8Array(bytes));
  const used = new Date(Date.now() - hours * HOUR);
  await utimes(file, used, used);
  return file;
}

const names = async () => (await listCache(cacheDir)).map(({ path }) => path.slice(cacheDir.length + 1));

/** A lease as another process would write it. */
async function leaseOf(holder: { host: string; pid: number }, file: string, ageMs = 0): Promise<void> {
  await mkdir(join(cacheDir, 'leases'), { recursive: true });
  const lease = join(cacheDir, 'leases', `${holder.host}-${holder.pid}`);
  await writeFile(lease, `${JSON.stringify(holder)}\n${file.slice(cacheDir.length + 1)}\n`);
  const touched = new Date(Date.now() - ageMs);
  await utimes(lease, touched, touched);
}

/** The id of a process that is gone. */
async function goneProcess(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'exit');
  return child.pid!;
}

describe('listing the cache', () => {
  it('names every file by kind, with its size and last use', async () => {
    await entry('weights/a.f32', 10, 3);
    await entry('pictures/ab/abc.webp', 5, 0);
    expect(await listCache(cacheDir)).toMatchObject([
      { kind: 'pictures', path: join(cacheDir, 'pictures/ab/abc.webp'), sizeBytes: 5, isPartial: false },
      { kind: 'weights', path: join(cacheDir, 'weights/a.f32'), sizeBytes: 10 },
    ]);
    expect(await listCache(join(cacheDir, 'nowhere'))).toEqual([]);
  });
});

describe('pruning the cache', () => {
  it('removes what was longest unused until nine tenths of the limit are left', async () => {
    await entry('weights/old', 40, 9);
    await entry('weights/older', 40, 10);
    await entry('sharing/young', 40, 1);
    const removed = await pruneCache(cacheDir, { limitBytes: 100 });
    expect(removed.map(({ path }) => path)).toEqual([join(cacheDir, 'weights/older')]);
    expect(await names()).toEqual(['sharing/young', 'weights/old']);
  });

  it('leaves all as it is under the limit', async () => {
    await entry('weights/a', 100, 1000);
    expect(await pruneCache(cacheDir, { limitBytes: 100 })).toEqual([]);
    expect(await names()).toEqual(['weights/a']);
  });

  it('leaves pictures to their own limit', async () => {
    await entry('pictures/aa/aa.webp', 1000, 10);
    await entry('weights/a', 10, 9);
    expect(await pruneCache(cacheDir, { limitBytes: 100 })).toEqual([]);
  });

  it('removes files of writers that crashed, and no file being written', async () => {
    await entry('weights/a.f32.1.part', 10, 2);
    await entry('weights/b.f32.2.part', 10, 0.5);
    await pruneCache(cacheDir, { limitBytes: 15 });
    expect(await names()).toEqual(['weights/b.f32.2.part']);
  });

  it('never removes what an open model uses, and does when it is closed', async () => {
    const [used, other] = [await entry('weights/used', 60, 20), await entry('weights/other', 60, 10)];
    const use = new CacheUse(cacheDir);
    await use.use(used);
    // As if it had been opened long ago: only the lease protects it.
    await entry('weights/used', 60, 20);
    expect((await pruneCache(cacheDir, { limitBytes: 50 })).map(({ path }) => path)).toEqual([other]);
    await use.release();
    expect((await pruneCache(cacheDir, { limitBytes: 50 })).map(({ path }) => path)).toEqual([used]);
    expect(await readdir(join(cacheDir, 'leases'))).toEqual([]);
  });

  it('heeds leases of living processes here and of other machines, not those of dead ones', async () => {
    const file = await entry('weights/a', 60, 20);
    const holders: [{ host: string; pid: number }, number, boolean][] = [
      [{ host: hostname(), pid: process.ppid }, 0, true],
      [{ host: hostname(), pid: await goneProcess() }, 0, false],
      [{ host: 'another-machine', pid: 1 }, 0, true],
      [{ host: 'another-machine', pid: 1 }, 2 * HOUR, false],
    ];
    for (const [holder, ageMs, isUsed] of holders) {
      await leaseOf(holder, file, ageMs);
      expect([...(await leasedEntries(cacheDir))], JSON.stringify(holder)).toEqual(isUsed ? [file] : []);
      // A dead one's file is gone, too.
      expect(await readdir(join(cacheDir, 'leases'))).toHaveLength(isUsed ? 1 : 0);
      await rm(join(cacheDir, 'leases'), { recursive: true });
    }
  });
});

describe('using the cache', () => {
  it('writes an entry whole and makes room for it', async () => {
    vi.stubEnv('DERMCAP_CACHE_LIMIT', '100');
    await entry('weights/old', 80, 5);
    const use = new CacheUse(cacheDir);
    const file = join(cacheDir, 'weights', 'new');
    await use.write(file, new Uint8Array(60));
    expect(await names()).toEqual(['weights/new']);
    expect((await stat(file)).size).toBe(60);
    await use.release();
  });

  it('keeps what it wrote though it exceeds the limit', async () => {
    vi.stubEnv('DERMCAP_CACHE_LIMIT', '100');
    const use = new CacheUse(cacheDir);
    const files = ['a', 'b', 'c'].map(name => join(cacheDir, 'weights', name));
    for (const file of files) {
      await use.write(file, new Uint8Array(60));
      const longAgo = new Date(Date.now() - HOUR);
      await utimes(file, longAgo, longAgo);
    }
    expect(await names()).toEqual(['weights/a', 'weights/b', 'weights/c']);
    await use.release();
  });

  it('makes now the last use of what is read', async () => {
    const file = await entry('weights/a', 1, 50);
    const use = new CacheUse(cacheDir);
    await use.use(file);
    expect(Date.now() - (await stat(file)).mtimeMs).toBeLessThan(HOUR);
    const [lease] = await readdir(join(cacheDir, 'leases'));
    expect(await readFile(join(cacheDir, 'leases', lease!), 'utf8')).toMatch(/^\{.*\}\nweights\/a\n$/);
    await use.release();
  });

  it('clears leases away that processes left behind', async () => {
    const file = await entry('weights/a', 1, 1);
    await leaseOf({ host: hostname(), pid: await goneProcess() }, file);
    const use = new CacheUse(cacheDir);
    await use.use(file);
    expect(await readdir(join(cacheDir, 'leases'))).toHaveLength(1);
    await use.release();
    expect(await readdir(join(cacheDir, 'leases'))).toEqual([]);
  });

  it('does without a lease where the folder cannot be written', async () => {
    const file = await entry('blocked', 0, 0);
    const use = new CacheUse(join(file, 'cache'));
    await use.use(join(file, 'cache', 'weights', 'a'));
    await use.release();
  });
});

describe('clearing the cache', () => {
  it('removes the kinds named, but nothing in use', async () => {
    const used = await entry('weights/used', 1, 10);
    await entry('weights/free', 1, 10);
    await entry('sha256/a.json', 1, 10);
    await leaseOf({ host: hostname(), pid: process.pid }, used);
    const { removed, inUse } = await clearCache(cacheDir, { kinds: ['weights'] });
    expect(removed.map(({ path }) => path)).toEqual([join(cacheDir, 'weights/free')]);
    expect(inUse.map(({ path }) => path)).toEqual([used]);
    expect(await names()).toEqual(['sha256/a.json', 'weights/used']);
    await clearCache(cacheDir, {});
    expect(await names()).toEqual(['weights/used']);
  });
});

describe('the limit', () => {
  it.each([
    [undefined, 20e9],
    ['', 20e9],
    ['20GB', 20e9],
    ['1.5 T', 1.5e12],
    ['500mb', 5e8],
    ['123', 123],
    ['0', 0],
  ])('%s is %d bytes', (text, bytes) => {
    expect(cacheLimit({ DERMCAP_CACHE_LIMIT: text })).toBe(bytes);
  });

  it.each(['much', '-1', '20 PB', '1e9'])('refuses %s', text => {
    expect(() => cacheLimit({ DERMCAP_CACHE_LIMIT: text })).toThrow(/DERMCAP_CACHE_LIMIT/);
  });
});
