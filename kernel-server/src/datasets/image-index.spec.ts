import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ImageIndex } from './image-index.js';
import { folderOf, PNG } from './testFolder.js';

async function indexOf(
  images: string[],
  files: Record<string, string | Uint8Array> = {},
): Promise<ImageIndex> {
  return ImageIndex.read(await folderOf(files, images));
}

describe('the images that a manifest names', () => {
  it.each([
    ['images/a.jpg', 'a path'],
    ['./images//a.jpg', 'a path with doubled parts'],
    ['images\\a.jpg', 'a path of Windows'],
    ['a.jpg', 'a file name'],
    ['A.JPG', 'another letter case'],
    ['a', 'a name without its ending'],
    ['a.png', 'another ending'],
    ['/home/someone/data/images/a.jpg', 'a path of another machine'],
    ['C:\\data\\images\\a.jpg', 'a path of another Windows machine'],
    ['https://example.org/files/a.jpg?size=large', 'a web address'],
    ['sub/../images/a.jpg', 'a way round'],
  ])('finds %s: %s', async name => {
    const index = await indexOf(['images/a.jpg', 'images/b.jpg']);
    expect(await index.find(name)).toEqual({ path: 'images/a.jpg' });
  });

  it('looks from the manifest’s folder first, also one folder up', async () => {
    const index = await indexOf(['images/a.jpg', 'csv/images/a.jpg']);
    expect(await index.find('images/a.jpg', 'csv')).toEqual({ path: 'csv/images/a.jpg' });
    expect(await index.find('../images/a.jpg', 'csv')).toEqual({ path: 'images/a.jpg' });
  });

  it.each(['../a.jpg', '../../etc/passwd', '/../a.jpg', 'images/../../a.jpg', '..', '..\\a.jpg'])(
    'does not follow %s out of the folder',
    async name => {
      const root = await folderOf({}, ['root/images/b.jpg', 'a.jpg']);
      const index = await ImageIndex.read(join(root, 'root'));
      expect(await index.find(name)).toMatchObject({ state: 'outside-root' });
    },
  );

  it('does not follow links out of the folder', async () => {
    const root = await folderOf({}, ['root/b.jpg', 'a.jpg']);
    await symlink(join(root, 'a.jpg'), join(root, 'root', 'link.jpg'));
    const index = await ImageIndex.read(join(root, 'root'));
    expect(await index.find('link.jpg')).toMatchObject({ state: 'outside-root' });
    expect(await index.find(join(root, 'a.jpg'))).toMatchObject({ state: 'missing' });
  });

  it('says which images a name may mean, unless they are copies', async () => {
    const index = await indexOf([], {
      'x/a.jpg': 'one',
      'y/a.jpg': 'two',
      'x/b.jpg': 'same',
      'y/b.jpg': 'same',
    });
    expect(await index.find('a')).toEqual({
      state: 'ambiguous',
      reason: 'names “a”, which fits 2 images that differ: x/a.jpg, y/a.jpg',
    });
    expect(await index.find('y/a')).toEqual({ path: 'y/a.jpg' });
    expect(await index.find('elsewhere/y/a.jpg')).toEqual({ path: 'y/a.jpg' });
    expect(await index.find('b')).toEqual({ path: 'x/b.jpg' });
  });

  it('says that a name is that of no image', async () => {
    const index = await indexOf(['a.jpg'], { 'notes.txt': 'x', 'b.bmp': PNG });
    expect(await index.find('c.jpg')).toEqual({
      state: 'missing',
      reason: 'names “c.jpg”, which is not in the dataset’s folder',
    });
    expect(await index.find('notes.txt')).toMatchObject({
      state: 'missing',
      reason: expect.stringContaining('not a file of an image') as string,
    });
    expect(await index.find('b.bmp')).toEqual({ path: 'b.bmp' });
    expect(await index.find(' ')).toMatchObject({ state: 'no-image' });
  });

  it('answers any name with an image inside or a reason', async () => {
    const index = await indexOf(['images/a.jpg', 'b.png']);
    const part = fc.oneof(
      fc.constantFrom('..', '.', '', 'images', 'a.jpg', 'a', 'b.png', '\0', '~', 'C:'),
      fc.string(),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(part, { maxLength: 6 }),
        fc.constantFrom('/', '\\', '//'),
        async (parts, separator) => {
          const found = await index.find(parts.join(separator), 'images');
          if ('path' in found) expect(['images/a.jpg', 'b.png']).toContain(found.path);
          else expect(found.reason).toMatch(/^names /);
        },
      ),
      { numRuns: 500 },
    );
  });
});
