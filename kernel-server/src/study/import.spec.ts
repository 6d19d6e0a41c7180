import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ImageFilter } from '../contract/index.js';
import { StudyImageSearch, type StudyImage } from '../contract/index.js';
import { imagePage } from './images.js';
import { importDataset } from './import.js';
import { dataset, testStudy, type TestStudy } from './testing.js';

let test: TestStudy;

beforeEach(async () => {
  test = await testStudy({ 'a.png': 'A', 'b.png': 'B', 'c.png': 'C', 'empty.png': '' });
});
afterEach(() => test.remove());

async function images(filter: ImageFilter = {}): Promise<StudyImage[]> {
  const page = await imagePage(test.study.db, StudyImageSearch.parse({ filter }), { username: 'ana' });
  return page.images;
}

describe('importDataset', () => {
  it('keeps every row: what is known of it, or why it cannot be opened', async () => {
    const progress = await test.import([
      {
        path: 'a.png',
        metadata: { dx: 'nevus', age: 40, male: true },
        label: 'nevus',
        split: 'train',
        group: 'p1',
      },
      { path: 'none.png' },
      { path: 'empty.png' },
      { path: 'table.csv#4', problem: { state: 'no-image', reason: 'Row 4 names no image.' } },
    ]);
    expect(progress).toEqual({
      rows: 4,
      total: 4,
      added: 4,
      updated: 0,
      moved: 0,
      problems: { missing: 1, unreadable: 1, 'no-image': 1 },
    });
    const [a, none, empty, row4] = await images();
    expect(a).toMatchObject({
      path: 'a.png',
      state: 'ok',
      reason: null,
      label: 'nevus',
      split: 'train',
      group: 'p1',
      metadata: { dx: 'nevus', age: 40, male: true },
      sizeBytes: 1,
      width: 4,
    });
    expect(none).toMatchObject({ state: 'missing', reason: 'There is no “none.png”.', sha256: null });
    expect(empty).toMatchObject({ state: 'unreadable', reason: '“empty.png” is empty.' });
    expect(row4).toMatchObject({ path: 'table.csv#4', state: 'no-image', reason: 'Row 4 names no image.' });
  });

  it('adds and updates when it is repeated, and does not read again what has not changed', async () => {
    await test.import([
      { path: 'a.png', metadata: { dx: 'nevus' }, references: [{ text: 'Old.', column: 'caption' }] },
    ]);
    const read: string[] = [];
    const progress = await test
      .import(
        [
          {
            path: 'a.png',
            metadata: { dx: 'melanoma', site: 'back' },
            references: [{ text: 'New.', column: 'caption' }],
          },
          { path: 'b.png' },
        ],
        {
          examine: async (_source, { path }) => {
            read.push(path);
            throw Object.assign(new Error(), { name: 'never' });
          },
        },
      )
      .catch(() => null);
    expect(progress).toBe(null);
    expect(read).toEqual(['b.png']);
    expect(
      await test.import([
        { path: 'a.png', metadata: { dx: 'melanoma' }, references: [{ text: 'New.', column: 'caption' }] },
        { path: 'b.png' },
      ]),
    ).toMatchObject({
      added: 1,
      updated: 1,
    });
    const [a, b] = await images();
    expect(a).toMatchObject({ id: 1, metadata: { dx: 'melanoma' }, state: 'ok' });
    expect(a!.references).toEqual([{ text: 'New.', column: 'caption' }]);
    expect(b).toMatchObject({ path: 'b.png' });
    expect(await images({ where: [{ column: 'meta.dx', in: ['nevus'] }] })).toEqual([]);
    expect(await images({ text: 'old' })).toEqual([]);
    expect(await images({ text: 'new' })).toHaveLength(1);
  });

  it('takes rows of one path for one image with all their references, however far apart they stand', async () => {
    const rows = Array.from({ length: 600 }, (_, n) => ({
      path: n % 300 === 0 ? 'a.png' : `none${n}.png`,
      references: [{ text: `Caption ${n}.`, column: 'caption' }],
    }));
    expect(await test.import(rows)).toMatchObject({ rows: 600, added: 599, updated: 0 });
    expect((await images())[0]!.references.map(({ text }) => text)).toEqual(['Caption 0.', 'Caption 300.']);
    expect(await images({ text: 'caption 300' })).toHaveLength(1);
  });

  it('says that bytes have changed, and says so still when imported once more', async () => {
    await test.import([{ path: 'a.png' }]);
    await writeFile(join(test.folder, 'a.png'), 'AA');
    for (let time = 0; time < 2; time++) {
      await test.import([{ path: 'a.png' }]);
      expect((await images())[0]).toMatchObject({ state: 'changed', sizeBytes: 2 });
    }
  });

  it('finds moved images by their hash, with what the study knows of them', async () => {
    await test.import([{ path: 'a.png' }, { path: 'b.png' }]);
    await rename(join(test.folder, 'a.png'), join(test.folder, 'moved.png'));
    await writeFile(join(test.folder, 'copy-of-b.png'), 'B');
    expect(await test.import([{ path: 'moved.png' }, { path: 'copy-of-b.png' }])).toMatchObject({
      moved: 1,
      added: 1,
    });
    expect((await images()).map(({ id, path }) => [id, path])).toEqual([
      [1, 'moved.png'],
      [2, 'b.png'],
      [3, 'copy-of-b.png'],
    ]);
    expect((await images({ duplicate: 'exact' })).map(({ id }) => id)).toEqual([2, 3]);
  });

  it('knows an image by its hash after its file has gone and come back', async () => {
    await test.import([{ path: 'a.png' }]);
    const [{ sha256 }] = (await images()) as [StudyImage];
    await rm(join(test.folder, 'a.png'));
    await test.import([{ path: 'a.png' }]);
    expect((await images())[0]).toMatchObject({ state: 'missing', sha256 });
    await writeFile(join(test.folder, 'a.png'), 'A');
    await test.import([{ path: 'a.png' }]);
    expect((await images())[0]).toMatchObject({ state: 'ok', sha256, reason: null });
  });

  it('stops when it is told to, and goes on from there', async () => {
    const stop = new AbortController();
    const rows = Array.from({ length: 1000 }, (_, n) => ({ path: `none${n}.png` }));
    const onProgress = ({ rows: done }: { rows: number }): void => {
      if (done >= 250) stop.abort();
    };
    await expect(test.import(rows, { signal: stop.signal, onProgress })).rejects.toThrow(/abort/);
    const { total: kept } = await imagePage(test.study.db, StudyImageSearch.parse({}), { username: 'ana' });
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(1000);
    expect(await test.import(rows)).toMatchObject({ rows: 1000, added: 1000 - kept, updated: kept });
  });

  it('keeps paths relative to the study, also of a dataset that lies elsewhere', async () => {
    const progress = await importDataset(test.study, dataset('/somewhere/else', [{ path: 'x/y.png' }]), {
      examine: () => Promise.reject(new Error('no')),
    }).catch((error: Error) => error.message);
    expect(progress).toBe('no');
    const inside = dataset(join(test.folder, 'sub'), [
      { path: '../a.png', problem: { state: 'damaged', reason: 'Row.' } },
    ]);
    await importDataset(test.study, inside, { examine: () => Promise.reject(new Error('no')) });
    expect((await images())[0]).toMatchObject({ path: 'a.png', state: 'damaged' });
  });

  it('takes more columns than one statement has room for', async () => {
    const metadata = Object.fromEntries(Array.from({ length: 2500 }, (_, n) => [`column ${n}`, n]));
    await test.import(Array.from({ length: 40 }, (_, n) => ({ path: `none${n}.png`, metadata })));
    expect(Object.keys((await images())[0]!.metadata)).toHaveLength(2500);
    expect(await images({ where: [{ column: 'meta.column 1800', in: [1800] }] })).toHaveLength(40);
  });
});
