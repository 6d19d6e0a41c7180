import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { assert, asyncProperty, array, constantFrom, string } from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolveInside, splitPath } from './paths.js';

let base: string;
let root: string;

beforeAll(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'dermcap-paths-')));
  root = join(base, 'root');
  await mkdir(join(root, 'a', 'b'), { recursive: true });
  await mkdir(join(base, 'root-sibling'));
  await writeFile(join(root, 'a', 'lesion 1.jpg'), '');
  await writeFile(join(base, 'secret.jpg'), '');
  await writeFile(join(base, 'root-sibling', 'secret.jpg'), '');
  await symlink(join(base, 'secret.jpg'), join(root, 'link-out.jpg'));
  await symlink(base, join(root, 'link-folder-out'));
  await symlink('a/lesion 1.jpg', join(root, 'link-in.jpg'));
  await symlink('loop', join(root, 'loop'));
});
afterAll(() => rm(base, { recursive: true }));

describe('resolveInside', () => {
  it.each([
    ['', ''],
    ['a/lesion 1.jpg', 'a/lesion 1.jpg'],
    ['./a//lesion 1.jpg', 'a/lesion 1.jpg'],
    ['a/b/', 'a/b'],
    ['link-in.jpg', 'a/lesion 1.jpg'],
  ])('finds %j', async (path, expected) => {
    await expect(resolveInside(root, path)).resolves.toBe(expected ? join(root, expected) : root);
  });

  it.each([
    '..',
    '../secret.jpg',
    'a/../../secret.jpg',
    'a/..',
    '/etc/passwd',
    '//etc/passwd',
    '../root-sibling/secret.jpg',
    'link-out.jpg',
    'link-folder-out',
    'link-folder-out/secret.jpg',
    'link-folder-out/not-there.jpg',
    'link-folder-out/root/a/../../secret.jpg',
    'a/lesion 1.jpg\0.png',
    '\0',
    'x'.repeat(5000),
  ])('refuses %j', async path => {
    await expect(resolveInside(root, path)).rejects.toMatchObject({ code: 'path-outside-root' });
  });

  it.each([
    'nothing.jpg',
    'a/lesion 1.jpg/inside',
    'loop',
    'loop/x',
    `${'x'.repeat(300)}.jpg`,
    '%2e%2e/secret.jpg',
    'a\\..\\..\\secret.jpg',
    'C:\\secret.jpg',
  ])('says that %j is not there', async path => {
    await expect(resolveInside(root, path)).rejects.toMatchObject({ code: 'no-such-file' });
  });

  it('never names the folders outside in its sentence', async () => {
    await expect(resolveInside(root, 'link-folder-out/x')).rejects.toThrow(
      expect.objectContaining({ message: expect.not.stringContaining(base) }),
    );
  });

  it('resolves nothing outside the root, whatever the path', async () => {
    const part = constantFrom(
      '..',
      '.',
      '',
      'a',
      'b',
      'lesion 1.jpg',
      'link-out.jpg',
      'link-folder-out',
      'loop',
      '\\',
      'root',
    );
    await assert(
      asyncProperty(array(part, { maxLength: 8 }), string({ maxLength: 3 }), async (parts, noise) => {
        const resolved = await resolveInside(root, [...parts, noise].join('/')).catch(
          (error: { code: string }) => {
            expect(['path-outside-root', 'no-such-file']).toContain(error.code);
            return null;
          },
        );
        if (resolved !== null) expect(resolved === root || resolved.startsWith(root + sep)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

describe('splitPath', () => {
  it('keeps names that only look odd', () => {
    expect(splitPath('…/..a/ b /c../d\\e')).toEqual(['…', '..a', ' b ', 'c..', 'd\\e']);
  });
});
