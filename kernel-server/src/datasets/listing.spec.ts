import { mkdir, mkdtemp, realpath, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ImageFolders } from './listing.js';

let base: string;
let root: string;
const everything = { folder: '', recursive: true, offset: 0, limit: 1000 };

beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'dermcap-listing-')));
  root = join(base, 'root');
  await mkdir(join(root, 'sub', 'deep'), { recursive: true });
  await mkdir(join(root, '.hidden'));
  await Promise.all(
    [
      'img10.JPG',
      'img2.jpeg',
      'notes.txt',
      '.secret.png',
      'sub/b.png',
      'sub/deep/c.tiff',
      '.hidden/d.png',
    ].map(name => writeFile(join(root, name), name)),
  );
});
afterEach(() => rm(base, { recursive: true }));

async function paths(folders: ImageFolders, query = {}): Promise<string[]> {
  return (await folders.page({ ...everything, ...query })).images.map(image => image.path);
}

/** Sets a folder's time back, so that its listing counts as settled. */
async function settle(...folders: string[]): Promise<void> {
  const longAgo = new Date(Date.now() - 60_000);
  for (const folder of folders) await utimes(join(root, folder), longAgo, longAgo);
}

describe('ImageFolders', () => {
  it('lists images in natural order, a folder’s own first, without hidden ones', async () => {
    const folders = new ImageFolders(root);
    expect(await paths(folders)).toEqual(['img2.jpeg', 'img10.JPG', 'sub/b.png', 'sub/deep/c.tiff']);
    expect(await paths(folders, { recursive: false })).toEqual(['img2.jpeg', 'img10.JPG']);
    expect(await paths(folders, { folder: 'sub/' })).toEqual(['sub/b.png', 'sub/deep/c.tiff']);
  });

  it('tells size, time and the total of all pages', async () => {
    const page = await new ImageFolders(root).page({ ...everything, offset: 1, limit: 2 });
    expect(page).toMatchObject({ folder: '', total: 4, offset: 1 });
    expect(page.images).toEqual([
      { path: 'img10.JPG', name: 'img10.JPG', sizeBytes: 9, modifiedMs: expect.any(Number) },
      { path: 'sub/b.png', name: 'b.png', sizeBytes: 9, modifiedMs: expect.any(Number) },
    ]);
    expect((await new ImageFolders(root).page({ ...everything, offset: 99 })).images).toEqual([]);
  });

  it('shows a file added right after a listing', async () => {
    const folders = new ImageFolders(root);
    await paths(folders);
    await writeFile(join(root, 'sub', 'a.png'), '');
    expect(await paths(folders)).toContain('sub/a.png');
  });

  it('shows changes in a settled folder', async () => {
    await settle('', 'sub', 'sub/deep');
    const folders = new ImageFolders(root);
    await paths(folders);
    await rm(join(root, 'sub', 'deep', 'c.tiff'));
    expect(await paths(folders)).toEqual(['img2.jpeg', 'img10.JPG', 'sub/b.png']);
  });

  it('follows links to files inside the root only, and no linked folders', async () => {
    await writeFile(join(base, 'outside.png'), '');
    await symlink(join(base, 'outside.png'), join(root, 'sub', 'out.png'));
    await symlink('../img2.jpeg', join(root, 'sub', 'in.png'));
    await symlink('nowhere.png', join(root, 'sub', 'broken.png'));
    await symlink(root, join(root, 'sub', 'circle'));
    expect(await paths(new ImageFolders(root), { folder: 'sub' })).toEqual([
      'sub/b.png',
      'sub/in.png',
      'sub/deep/c.tiff',
    ]);
  });

  it.each([
    ['nowhere', 'no-such-file'],
    ['img2.jpeg', 'not-a-folder'],
    ['../', 'path-outside-root'],
  ])('refuses %s with %s', async (folder, code) => {
    await expect(paths(new ImageFolders(root), { folder })).rejects.toMatchObject({ code });
  });

  it('pages through 10,000 images to the last', async () => {
    const names = Array.from({ length: 10_000 }, (_, index) => `ISIC_${index}.jpg`);
    await mkdir(join(root, 'many'));
    for (let start = 0; start < names.length; start += 500) {
      await Promise.all(names.slice(start, start + 500).map(name => writeFile(join(root, 'many', name), '')));
    }
    await settle('many');
    const folders = new ImageFolders(root);
    const first = await folders.page({ ...everything, folder: 'many', limit: 200 });
    expect(first.total).toBe(10_000);
    const last = await folders.page({ ...everything, folder: 'many', offset: 9900, limit: 200 });
    expect(last.images.at(-1)!.name).toBe('ISIC_9999.jpg');
  });
});
