import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { PictureCache } from './picture-cache.js';

const HOUR_MS = 3_600_000;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dermcap-cache-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Puts a picture of 100 bytes there that was last used `hoursAgo`. */
async function put(cache: PictureCache, name: string, hoursAgo: number): Promise<void> {
  const file = cache.path(name);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, Buffer.alloc(100));
  const seconds = (Date.now() - hoursAgo * HOUR_MS) / 1000;
  await utimes(file, seconds, seconds);
}

async function pictures(): Promise<string[]> {
  return (await readdir(folder, { recursive: true })).filter(name => name.endsWith('.webp')).sort();
}

it('removes what has longest not been used once it is over its limit', async () => {
  const cache = new PictureCache(folder, { maxBytes: 500 });
  for (let n = 1; n <= 6; n++) await put(cache, `a${n}.webp`, n);
  await cache.prune();
  expect(await pictures()).toEqual(
    ['a1.webp', 'a2.webp', 'a3.webp', 'a4.webp'].map(name => `a${name[1]}/${name}`),
  );
});

it('leaves everything while it is under its limit, and what is being sent at any time', async () => {
  const cache = new PictureCache(folder, { maxBytes: 200 });
  await put(cache, 'a1.webp', 5);
  await put(cache, 'a2.webp', 6);
  await cache.prune();
  expect(await pictures()).toHaveLength(2);
  for (let n = 3; n <= 6; n++) await put(cache, `a${n}.webp`, 0);
  await cache.prune();
  expect(await pictures()).toEqual(['a3/a3.webp', 'a4/a4.webp', 'a5/a5.webp', 'a6/a6.webp']);
});

it('takes a look at a picture for its use', async () => {
  const cache = new PictureCache(folder, { maxBytes: 500 });
  await put(cache, 'a1.webp', 48);
  expect(await cache.has('a1.webp')).toBe(true);
  expect((await stat(cache.path('a1.webp'))).mtimeMs).toBeGreaterThan(Date.now() - HOUR_MS);
  expect(await cache.has('none.webp')).toBe(false);
});

it('prunes by itself as pictures are added', async () => {
  const cache = new PictureCache(folder, { maxBytes: 500 });
  for (let n = 1; n <= 8; n++) await put(cache, `a${n}.webp`, n);
  cache.added(100);
  await expect.poll(async () => (await pictures()).length).toBe(4);
});
