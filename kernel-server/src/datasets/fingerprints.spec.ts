import { link, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { cp, readFile } from 'node:fs/promises';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { fingerprints } from './fingerprints.js';
import { compareImages, findMoved } from './image-changes.js';
import type { FactsResult, ImageRef } from './image-facts.js';
import { ImageFiles } from './image-files.js';
import { openDataset } from './open.js';
import { allRows, FIXTURES, folderOf } from './testFolder.js';

async function all(root: string, images: ImageRef[], options = {}): Promise<FactsResult[]> {
  const results: FactsResult[] = [];
  for await (const result of fingerprints(root, images, { threads: 1, ...options })) results.push(result);
  return results;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('fingerprints', () => {
  it('tells hash, size, dimensions as displayed and format, in the order asked', async () => {
    const turned = await readFile(join(FIXTURES, 'hashes', '0-turned.jpg'));
    const folder = await folderOf({
      'b.jpg': turned,
      'a.dat': await readFile(join(FIXTURES, 'hashes', '1.png')),
    });
    const [one, other] = await all(folder, [{ path: 'b.jpg' }, { path: 'a.dat' }]);
    expect(one).toMatchObject({
      path: 'b.jpg',
      facts: { sizeBytes: turned.length, sha256: sha256(turned), width: 96, height: 72, format: 'jpeg' },
    });
    expect(other).toMatchObject({ path: 'a.dat', facts: { format: 'png', width: 96, height: 72 } });
  });

  it('says of each image why it cannot be read, and reads the others', async () => {
    const good = await readFile(join(FIXTURES, 'hashes', '1.png'));
    const folder = await folderOf({
      'good.png': good,
      'cut.png': good.subarray(0, good.length / 2),
      'empty.jpg': '',
      'text.jpg': 'hello',
      'named.dcm': await readFile(join(FIXTURES, 'dicom', 'refused-named.dcm')),
    });
    await symlink('/etc/passwd', join(folder, 'out.jpg'));
    const images = [
      'cut.png',
      'empty.jpg',
      'text.jpg',
      'named.dcm',
      'gone.jpg',
      'out.jpg',
      '../x.jpg',
      'good.png',
    ];
    const results = await all(
      folder,
      images.map(path => ({ path })),
    );
    expect(
      results.map(result => ('fault' in result ? [result.fault.state, result.fault.code] : ['ok', ''])),
    ).toEqual([
      ['unreadable', 'image-unreadable'],
      ['unreadable', 'image-unreadable'],
      ['unreadable', 'image-unreadable'],
      ['unreadable', 'dicom-identifiable'],
      ['missing', 'no-such-file'],
      ['outside-root', 'path-outside-root'],
      ['outside-root', 'path-outside-root'],
      ['ok', ''],
    ]);
    const [stripped] = await all(folder, [{ path: 'named.dcm' }], { dicom: { strip: true } });
    expect(stripped).toMatchObject({ facts: { width: 12, height: 10, format: 'dicom' } });
  });

  it('gives known facts back while the file has not changed', async () => {
    const folder = await folderOf({ 'a.png': await readFile(join(FIXTURES, 'hashes', '1.png')) });
    const [first] = await all(folder, [{ path: 'a.png' }]);
    if (!('facts' in first!)) throw new Error('no facts');
    const marked = { ...first.facts, sha256: 'known' };
    const again = await all(folder, [{ path: 'a.png' }], { known: () => marked });
    expect(again).toEqual([{ path: 'a.png', facts: marked }]);
    await utimes(join(folder, 'a.png'), 1, 1);
    const [changed] = await all(folder, [{ path: 'a.png' }], { known: () => marked });
    expect(changed).toMatchObject({ facts: { sha256: first.facts.sha256 } });
  });

  it('reads images within shards', async () => {
    for (const name of ['webdataset', 'shards']) {
      const expected = JSON.parse(await readFile(join(FIXTURES, name, 'expected.json'), 'utf8')) as {
        sha256: string;
      }[];
      const dataset = await openDataset(
        join(FIXTURES, name, name === 'shards' ? 'data' : 'train-000000.tar'),
      );
      const rows = await allRows(dataset);
      const results = await all(dataset.root, rows);
      expect(
        results.map(result => ('facts' in result ? result.facts.sha256 : result.fault.reason)).sort(),
      ).toEqual(expected.map(image => image.sha256).sort());
    }
  });

  it('stops when it is told to', async () => {
    const folder = await folderOf({ 'a.png': await readFile(join(FIXTURES, 'hashes', '1.png')) });
    const abort = new AbortController();
    const images = Array.from({ length: 2000 }, () => ({ path: 'a.png' }));
    const working = all(folder, images, { signal: abort.signal, onProgress: () => abort.abort() });
    await expect(working).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('reads a file that has many names once', async () => {
    const folder = await folderOf({ 'a.png': await readFile(join(FIXTURES, 'hashes', '1.png')) });
    await link(join(folder, 'a.png'), join(folder, 'b.png'));
    const [a, b] = await all(folder, [{ path: 'a.png' }, { path: 'b.png' }]);
    expect('facts' in a! && 'facts' in b! && a.facts).toEqual('facts' in b! && b.facts);
  });
});

describe('files of images', () => {
  it('are the images themselves, or copies of those in shards and of DICOM pictures', async () => {
    const cache = await folderOf({});
    const root = await folderOf({ 'a.png': await readFile(join(FIXTURES, 'hashes', '1.png')) });
    await cp(join(FIXTURES, 'webdataset'), root, { recursive: true });
    await cp(join(FIXTURES, 'dicom', 'rgb.dcm'), join(root, 'd.dcm'));
    const files = new ImageFiles(root, cache);
    expect(await files.file({ path: 'a.png' })).toBe(join(root, 'a.png'));
    const [row] = await allRows(await openDataset(join(root, 'train-000000.tar')));
    const copy = await files.file(row!);
    expect(copy.startsWith(cache)).toBe(true);
    expect(await files.file(row!)).toBe(copy);
    const [facts] = await all(root, [row!]);
    expect(facts).toMatchObject({ facts: { sha256: sha256(await readFile(copy)) } });
    expect(await sharp(await files.file({ path: 'd.dcm' })).metadata()).toMatchObject({
      width: 12,
      height: 10,
      format: 'png',
    });
    await expect(files.file({ path: '../a.png' })).rejects.toMatchObject({ code: 'path-outside-root' });
  });
});

describe('changes of a study’s images', () => {
  it('accounts for every image before and now exactly once', () => {
    const images = fc.uniqueArray(
      fc.record({ path: fc.constantFrom(...'abcdefgh'), sha256: fc.constantFrom('1', '2', '3') }),
      {
        selector: image => image.path,
      },
    );
    fc.assert(
      fc.property(images, images, (before, now) => {
        const { added, unchanged, changed, moved, missing } = compareImages(before, now);
        expect([...unchanged, ...changed, ...missing, ...moved.map(move => move.from)].sort()).toEqual(
          before.map(image => image.path).sort(),
        );
        expect([...unchanged, ...changed, ...added, ...moved.map(move => move.to)].sort()).toEqual(
          now.map(image => image.path).sort(),
        );
        const sha = (list: typeof before, path: string): string | undefined =>
          list.find(image => image.path === path)?.sha256;
        for (const { from, to } of moved) expect(sha(before, from)).toBe(sha(now, to));
      }),
    );
  });

  it('finds moved images by their content', async () => {
    const folder = await folderOf({
      'a.png': 'content A',
      'b.png': 'content B',
      'c.png': 'other, longer content',
    });
    const known = [
      { path: 'a.png', sha256: sha256(Buffer.from('content A')), sizeBytes: 9 },
      { path: 'b.png', sha256: sha256(Buffer.from('content B')), sizeBytes: 9 },
    ];
    await rename(join(folder, 'a.png'), join(folder, 'renamed.png'));
    await rm(join(folder, 'b.png'));
    await writeFile(join(folder, 'd.png'), 'content D');
    expect(await findMoved(folder, known, ['renamed.png', 'c.png', 'd.png', 'gone.png'])).toEqual([
      { from: 'a.png', to: 'renamed.png' },
    ]);
  });
});
