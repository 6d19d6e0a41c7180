import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { strFromU8, strToU8, unzipSync, zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { openDataset } from '../open.js';
import { allRows, FIXTURES, folderOf } from '../testFolder.js';
import { openJsonLines } from './jsonl.js';
import { openHeldImages, openParquet } from './parquet.js';
import type { Entry, Table } from './table.js';
import { openWebDataset } from './webdataset.js';
import { openXlsx } from './xlsx.js';

const json = async <T>(...path: string[]): Promise<T> =>
  JSON.parse(await readFile(join(FIXTURES, ...path), 'utf8')) as T;

async function entriesOf(table: Table): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const entry of table.entries()) entries.push(entry);
  return entries;
}

/** Opens and reads a damaged copy of a file: rows or a sentence, never anything else. */
async function answersDamage(
  bytes: Buffer,
  name: string,
  open: (path: string, file: string) => Promise<Table>,
  runs: number,
): Promise<void> {
  const length = fc.option(fc.nat(bytes.length - 1), { nil: bytes.length });
  const changes = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(length, changes, async (length, changes) => {
      const damaged = Buffer.from(bytes);
      for (const [at, value] of changes) damaged[at] = value;
      const folder = await folderOf({ [name]: damaged.subarray(0, length) });
      try {
        await entriesOf(await open(join(folder, name), name));
      } catch (error) {
        expect(error).toMatchObject({
          code: expect.stringMatching(/^dataset-(damaged|unsupported)$/) as string,
        });
        expect((error as Error).message).toContain(`“${name}”`);
      }
    }),
    { numRuns: runs },
  );
}

describe('JSON Lines', () => {
  it('reads records, keeps lists as JSON and names the line that is broken', async () => {
    const folder = await folderOf({
      'data.jsonl':
        '{"image": "a.png", "captions": ["one", "two"], "age": NaN}\r\n\n{"image": "b.png", "box": {"x": 1}}\n{"image": \n[1]\n',
    });
    const table = await openJsonLines(join(folder, 'data.jsonl'), 'data.jsonl');
    expect(table.columns).toEqual(['image', 'captions', 'age', 'box']);
    expect(await entriesOf(table)).toEqual([
      { row: 1, values: { image: 'a.png', captions: '["one","two"]', age: null } },
      { row: 2, values: { image: 'b.png', box: '{"x":1}' } },
      { row: 3, values: {}, fault: 'it is not valid JSON (line 4)' },
      { row: 4, values: {}, fault: 'it is not a JSON object (line 5)' },
    ]);
  });

  it('reads back any record', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.dictionary(
            fc.string({ unit: 'grapheme' }).map(key => `k${key.trim()}`),
            fc.string({ unit: 'grapheme' }),
          ),
          {
            minLength: 1,
            maxLength: 5,
          },
        ),
        async records => {
          fc.pre(records.some(record => Object.keys(record).length > 0));
          const folder = await folderOf({
            'data.jsonl': records.map(record => JSON.stringify(record)).join('\n'),
          });
          const entries = await entriesOf(await openJsonLines(join(folder, 'data.jsonl'), 'data.jsonl'));
          expect(entries.map(({ values }) => ({ ...values }))).toEqual(
            records.map(record => ({ ...record })),
          );
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('Parquet', () => {
  it.each(['none', 'snappy', 'gzip', 'brotli', 'zstd', 'lz4'])('reads %s as pandas does', async codec => {
    const expected = await json<{
      rows: number;
      captions: number;
      ages: number;
      scores: number;
      last: Record<string, unknown>;
    }>('parquet', 'expected.json');
    const table = await openParquet(join(FIXTURES, 'parquet', `${codec}.parquet`), 'x.parquet');
    const rows = (await entriesOf(table)).map(entry => entry.values);
    const sum = (column: string): number => rows.reduce((total, row) => total + Number(row[column] ?? 0), 0);
    expect(rows).toHaveLength(expected.rows);
    expect(table.count).toBe(expected.rows);
    expect(rows.filter(row => row['caption'] !== null)).toHaveLength(expected.captions);
    expect(sum('age')).toBe(expected.ages);
    expect(sum('score')).toBeCloseTo(expected.scores, 3);
    const { tags, x, ...last } = expected.last;
    expect(rows.at(-1)).toMatchObject(last);
    expect(JSON.parse(rows.at(-1)!['tags'] as string)).toEqual(tags);
    expect(JSON.parse(rows.at(-1)!['where'] as string)).toEqual({ x, y: null });
  });

  it('leaves images in Hugging Face shards where they are, and finds each', async () => {
    const expected = await json<{ split: string; name: string | null; sha256: string }[]>(
      'shards',
      'expected.json',
    );
    const dataset = await openDataset(join(FIXTURES, 'shards', 'data'));
    expect(dataset.kind).toBe('parquet-shards');
    expect(dataset.count).toBe(7);
    const rows = await allRows(dataset);
    expect(rows.map(row => row.label)).toContain('melanoma');
    for (const [index, { split, name, sha256 }] of expected.entries()) {
      const within = index - expected.findIndex(one => one.split === split);
      const row = rows.filter(one => one.split === split)[within]!;
      expect(row.path.endsWith(`.parquet/${within + 1}/${name ?? String(within).padStart(7, '0')}`)).toBe(
        true,
      );
      if (row.embedded?.in !== 'parquet') throw new Error('not embedded');
      const held = await openHeldImages(join(dataset.root, row.embedded.container), 'x', row.embedded.column);
      const [bytes] = await held.read(row.embedded.row, row.embedded.row + 1);
      expect(createHash('sha256').update(bytes!).digest('hex')).toBe(sha256);
    }
  });

  it('answers damage with rows or a sentence', async () => {
    const bytes = await readFile(join(FIXTURES, 'parquet', 'snappy.parquet'));
    await answersDamage(bytes, 'x.parquet', openParquet, 150);
  });
});

describe('WebDataset', () => {
  it('reads samples, long names and the places of images', async () => {
    const expected = await json<{ key: string; sha256: string; text: string }[]>(
      'webdataset',
      'expected.json',
    );
    const path = join(FIXTURES, 'webdataset', 'train-000000.tar');
    const shard = await readFile(path);
    const rows = await allRows(await openDataset(path));
    expect(rows.map(row => row.id)).toEqual(expected.map(sample => sample.key));
    expect(rows.map(row => row.references[0]!.text)).toEqual(expected.map(sample => sample.text));
    expect(rows.map(row => [row.label, row.group, row.split])).toEqual([
      ['nevus', 'L0', 'train'],
      ['melanoma', 'L0', 'train'],
      ['nevus', 'L1', 'train'],
      ['melanoma', 'L1', 'train'],
    ]);
    for (const [index, row] of rows.entries()) {
      if (row.embedded?.in !== 'tar') throw new Error('not embedded');
      const { offset, sizeBytes } = row.embedded;
      const bytes = shard.subarray(offset, offset + sizeBytes);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(expected[index]!.sha256);
    }
  });

  it('says where a shard is cut short', async () => {
    const shard = await readFile(join(FIXTURES, 'webdataset', 'train-000000.tar'));
    const folder = await folderOf({ 'x.tar': shard.subarray(0, 5000) });
    const reading = async (): Promise<unknown> => allRows(await openDataset(join(folder, 'x.tar')));
    await expect(reading()).rejects.toMatchObject({
      code: 'dataset-damaged',
      message: expect.stringMatching(
        /^“x\.tar”, member \d+ \(“.+”\): the file ends before it does\.$/,
      ) as string,
    });
  });

  it('answers damage with rows or a sentence', async () => {
    const bytes = await readFile(join(FIXTURES, 'webdataset', 'train-000000.tar'));
    await answersDamage(bytes, 'x.tar', openWebDataset, 150);
  });
});

describe('XLSX', () => {
  it('answers damage with rows or a sentence', async () => {
    const bytes = await readFile(join(FIXTURES, 'workbooks', 'skincap_v240715.xlsx'));
    await answersDamage(bytes, 'x.xlsx', openXlsx, 60);
  });

  it('refuses a sheet that a stray cell makes too large, before it fills memory', async () => {
    const parts = unzipSync(await readFile(join(FIXTURES, 'workbooks', 'skincap_v240715.xlsx')));
    const sheet = 'xl/worksheets/sheet1.xml';
    const xml = strFromU8(parts[sheet]!);
    parts[sheet] = strToU8(
      xml.replace('</sheetData>', '<row r="1048576"><c r="XFD1048576" t="n"><v>1</v></c></row></sheetData>'),
    );
    const folder = await folderOf({ 'x.xlsx': zipSync(parts) });
    await expect(openXlsx(join(folder, 'x.xlsx'), 'x.xlsx')).rejects.toMatchObject({
      code: 'dataset-unsupported',
      message: '“x.xlsx” has a cell at XFD1048576, so that the sheet spans 1048576 rows by 16384 columns.',
    });
  });

  it('refuses old and protected workbooks in words', async () => {
    const folder = await folderOf({ 'x.xlsx': Buffer.from('d0cf11e0a1b11ae1', 'hex') });
    await expect(openXlsx(join(folder, 'x.xlsx'), 'x.xlsx')).rejects.toMatchObject({
      code: 'dataset-unsupported',
      message: '“x.xlsx” is an old (.xls) or a protected Excel workbook.',
    });
  });
});

describe('COCO captions', () => {
  it('gathers the captions of each image, ids as numbers or text', async () => {
    const folder = await folderOf(
      {
        'annotations/captions_train.json': JSON.stringify({
          info: {},
          images: [
            { id: 7, file_name: 'a.jpg', width: 2, height: 1, coco_url: 'http://example.org/a.jpg' },
            { id: '8', file_name: 'b.jpg' },
            { id: 9, file_name: 'c.jpg' },
          ],
          annotations: [
            { id: 1, image_id: 8, caption: 'A mole.' },
            { id: 2, image_id: 7, caption: 'A scar.' },
            { id: 3, image_id: 7, caption: 'An old scar.' },
            { id: 4, image_id: 77, caption: 'Nobody’s.' },
          ],
        }),
      },
      ['train/a.jpg', 'train/b.jpg'],
    );
    for (const path of [folder, join(folder, 'annotations', 'captions_train.json')]) {
      const dataset = await openDataset(path);
      expect(dataset.kind).toBe('coco-captions');
      expect(dataset.notes[0]).toContain('1 captions belong to no image');
      const rows = await allRows(dataset);
      expect(
        rows.map(row => [row.path, row.references.map(reference => reference.text), row.problem?.state]),
      ).toEqual([
        ['train/a.jpg', ['A scar.', 'An old scar.'], undefined],
        ['train/b.jpg', ['A mole.'], undefined],
        ['c.jpg', [], 'missing'],
      ]);
    }
  });

  it('names the line of broken JSON', async () => {
    const folder = await folderOf({ 'x.json': '{"images": [\n{"id": 1,}\n]}' });
    await expect(openDataset(join(folder, 'x.json'))).rejects.toMatchObject({
      code: 'dataset-damaged',
      message: '“x.json”, line 2: it is not valid JSON.',
    });
  });
});

describe('folders', () => {
  it('reads Hugging Face’s ImageFolder with its splits', async () => {
    const expected = await json<Record<string, string[]>>('image-folder', 'expected.json');
    const dataset = await openDataset(join(FIXTURES, 'image-folder'));
    expect(dataset.kind).toBe('image-folder');
    const rows = await allRows(dataset);
    for (const [split, texts] of Object.entries(expected)) {
      const own = rows.filter(row => row.split === split);
      expect(own.map(row => row.references[0]!.text)).toEqual(texts);
      expect(own.every(row => row.path.startsWith(`${split}/`) && row.problem === undefined)).toBe(true);
    }
  });

  it('reads ImageFolder’s metadata as JSON Lines, with several captions an image', async () => {
    const folder = await folderOf(
      {
        'train/metadata.jsonl':
          '{"file_name": "0001.png", "text": ["A mole.", "A brown mole."], "source": "own"}\n{"file_name": "0002.png", "text": []}\n',
      },
      ['train/0001.png', 'train/0002.png', 'test/0003.png'],
    );
    const dataset = await openDataset(folder);
    expect(dataset.kind).toBe('image-folder');
    const rows = await allRows(dataset);
    expect(rows).toMatchObject([
      {
        path: 'train/0001.png',
        split: 'train',
        source: 'own',
        references: [
          { text: 'A mole.', column: 'text' },
          { text: 'A brown mole.', column: 'text' },
        ],
      },
      { path: 'train/0002.png', references: [] },
    ]);
  });

  it('refuses archives and other files in words', async () => {
    const folder = await folderOf({ 'x.tar.gz': 'x', 'x.docx': 'x' }, ['a.png']);
    const code = async (name: string): Promise<unknown> =>
      openDataset(join(folder, name)).catch((error: unknown) => (error as { code: string }).code);
    expect(await Promise.all(['x.tar.gz', 'x.docx', 'a.png', 'nowhere.csv'].map(code))).toEqual([
      'dataset-unsupported',
      'dataset-unsupported',
      'dataset-unsupported',
      'no-such-file',
    ]);
  });

  it('takes class folders for labels and texts beside images for captions', async () => {
    const folder = await folderOf({ 'nevus/a.txt': 'A brown spot.\n', 'readme.txt': 'not a caption' }, [
      'nevus/a.png',
      'nevus/b.png',
      'images/c.png',
      'val/melanoma/d.jpg',
    ]);
    const rows = await allRows(await openDataset(folder));
    expect(rows.map(row => [row.path, row.label, row.split, row.references[0]?.text])).toEqual([
      ['images/c.png', undefined, undefined, undefined],
      ['nevus/a.png', 'nevus', undefined, 'A brown spot.'],
      ['nevus/b.png', 'nevus', undefined, undefined],
      ['val/melanoma/d.jpg', 'melanoma', 'validation', undefined],
    ]);
  });

  it('says that a folder holds nothing', async () => {
    await expect(openDataset(await folderOf({ 'a.md': '' }))).rejects.toMatchObject({
      code: 'dataset-empty',
    });
    await expect(openDataset('/nowhere/at/all')).rejects.toMatchObject({ code: 'no-such-file' });
  });
});
