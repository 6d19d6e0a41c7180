import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CLI } from './study.js';

let cacheDir: string;
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'dermcap-cache-cli-'));
  for (const [path, bytes] of [
    ['weights/a.f32', 1500],
    ['weights/b.f32', 500],
    ['sha256/c.json', 66],
  ] as const) {
    await mkdir(join(cacheDir, path, '..'), { recursive: true });
    await writeFile(join(cacheDir, path), new Uint8Array(bytes));
  }
});
afterEach(() => rm(cacheDir, { recursive: true }));

function cache(args: string[], env: Record<string, string> = {}): Promise<{ code: number; stdout: string }> {
  return new Promise(resolve => {
    execFile(
      process.execPath,
      [CLI, 'cache', ...args],
      { env: { ...process.env, DERMCAP_CACHE: cacheDir, ...env } },
      (error, stdout) => resolve({ code: error ? Number(error.code) : 0, stdout }),
    );
  });
}

describe('dermcap cache', () => {
  it('lists kinds with entries, sizes and ages', async () => {
    const { stdout } = await cache(['--json'], { DERMCAP_CACHE_LIMIT: '5GB' });
    const use = expect.stringMatching(/^\d{4}-\d\d-\d\dT/);
    expect(JSON.parse(stdout)).toEqual({
      path: cacheDir,
      sizeBytes: 2066,
      limitBytes: 5e9,
      kinds: [
        { kind: 'sha256', entries: 1, sizeBytes: 66, oldestUse: use, newestUse: use },
        { kind: 'weights', entries: 2, sizeBytes: 2000, oldestUse: use, newestUse: use },
      ],
    });
    const text = (await cache([])).stdout;
    expect(text).toContain(cacheDir);
    expect(text).toMatch(/weights .* 2 .* 2\.0 kB .* now/);
    expect(text).toContain('2.1 kB in all; the limit is 20.0 GB');
  });

  it('prints the folder, also another one', async () => {
    expect((await cache(['path'])).stdout).toBe(`${cacheDir}\n`);
    expect((await cache(['path', '--cache', '/elsewhere', '--json'])).stdout).toContain(
      '"path": "/elsewhere"',
    );
  });

  it('clears a kind, and everything', async () => {
    const { stdout } = await cache(['clear', '--kind', 'weights', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      removed: { entries: 2, sizeBytes: 2000 },
      inUse: { entries: 0 },
    });
    expect(await readdir(join(cacheDir, 'weights'))).toEqual([]);
    expect((await cache(['clear'])).stdout).toBe('Removed 1 entry (66 B).\n');
    expect((await cache([])).stdout).toBe(`${cacheDir} is empty.\n`);
  });

  it('refuses a kind there is not, and a limit that is no size', async () => {
    const { code, stdout } = await cache(['clear', '--kind', 'wieghts', '--json']);
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({
      error: { code: 'no-such-kind', hint: expect.stringContaining('weights') },
    });
    const limited = await cache(['--json'], { DERMCAP_CACHE_LIMIT: 'much' });
    expect(limited.code).toBe(2);
    expect(JSON.parse(limited.stdout)).toMatchObject({ error: { code: 'cache-limit-invalid' } });
  });
});
