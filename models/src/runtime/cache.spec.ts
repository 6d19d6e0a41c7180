import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cachedJson, defaultCacheDir, writeAtomically } from './cache.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dermcap-cache-'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

describe('the cache', () => {
  it('computes once, and again what cannot be read', async () => {
    const path = join(folder, 'sub', 'value.json');
    const compute = vi.fn(() => Promise.resolve([1, 2]));
    for (let i = 0; i < 2; i++) expect(await cachedJson(path, compute)).toEqual([1, 2]);
    expect(compute).toHaveBeenCalledTimes(1);
    await writeFile(path, '[1,');
    expect(await cachedJson(path, compute)).toEqual([1, 2]);
    expect(compute).toHaveBeenCalledTimes(2);
  });

  it('does without what it only remembers when it cannot be written, and says so of what it needs', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    const path = join(file, 'value');
    expect(await cachedJson(path, () => Promise.resolve(3))).toBe(3);
    await expect(writeAtomically(path, 'x')).rejects.toMatchObject({
      code: 'cache-unwritable',
      message: expect.stringContaining(file),
      hint: expect.stringContaining('--cache'),
    });
  });

  it('leaves no part of a file behind that could not be put in place', async () => {
    await expect(writeAtomically(folder, 'x')).rejects.toMatchObject({ code: 'cache-unwritable' });
    expect(await readdir(folder)).toEqual([]);
    const beside = await readdir(join(folder, '..'));
    expect(beside.filter(name => name.startsWith(`${folder.split('/').at(-1)}.`))).toEqual([]);
  });

  it('takes a variable that is set but empty for one that is not set', () => {
    vi.stubEnv('DERMCAP_CACHE', '');
    vi.stubEnv('XDG_CACHE_HOME', '');
    expect(defaultCacheDir()).toBe(join(homedir(), '.cache', 'dermcap'));
  });
});
