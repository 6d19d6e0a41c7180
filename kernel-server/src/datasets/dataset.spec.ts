import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openDataset } from './open.js';
import { allRows, folderOf, PNG } from './testFolder.js';

describe('datasets', () => {
  it('take a mapping instead of the guess, and refuse one that does not fit', async () => {
    const folder = await folderOf({ 'data.csv': 'a,b,text\nx.png,y.png,Words.\n' }, ['x.png', 'y.png']);
    const dataset = await openDataset(folder);
    const { mapping } = await dataset.guess();
    const rows = await allRows(dataset, {
      mapping: { ...mapping, image: ['b', 'a'], captions: [], label: ['text'] },
    });
    expect(rows.map(row => [row.path, row.label, row.references])).toEqual([
      ['y.png', 'Words.', []],
      ['x.png', 'Words.', []],
    ]);
    await expect(allRows(dataset, { mapping: { ...mapping, image: [] } })).rejects.toMatchObject({
      code: 'no-image-column',
    });
    await expect(allRows(dataset, { mapping: { ...mapping, group: 'c' } })).rejects.toMatchObject({
      code: 'no-such-column',
      message: 'The dataset has no column “c”.',
    });
  });

  it('look for images below the folder they are told, else beside the manifest or above its own folder', async () => {
    const folder = await folderOf(
      {
        'metadata/train.csv': 'image,caption\na.png,One.\n',
        'deep/tables/list.csv': 'image,caption\na.png,One.\n',
      },
      ['images/a.png'],
    );
    const [beside] = await allRows(await openDataset(join(folder, 'metadata', 'train.csv')));
    expect(beside).toMatchObject({ path: 'images/a.png', manifest: 'metadata/train.csv', split: 'train' });
    const deep = join(folder, 'deep', 'tables', 'list.csv');
    expect((await allRows(await openDataset(deep)))[0]!.problem?.state).toBe('missing');
    expect((await allRows(await openDataset(deep, { root: folder })))[0]!.path).toBe('images/a.png');
    await expect(openDataset(deep, { root: join(folder, 'images') })).rejects.toMatchObject({
      code: 'path-outside-root',
    });
  });

  it('read manifests of one header together, with the splits of their names', async () => {
    const folder = await folderOf(
      {
        'train.csv': 'image,caption\na.png,One.\n',
        'val.csv': 'image,caption\nb.png,Two.\n',
        'notes.csv': 'reader,remark\nme,nothing to say\n',
      },
      ['images/a.png', 'images/b.png'],
    );
    const dataset = await openDataset(folder);
    expect((await allRows(dataset)).map(row => [row.path, row.split])).toEqual([
      ['images/a.png', 'train'],
      ['images/b.png', 'validation'],
    ]);
    expect(dataset.files).toEqual(['train.csv', 'val.csv']);
    expect(dataset.others).toEqual(['notes.csv']);
  });

  it('read what the model says in conversations, and records under the names of images', async () => {
    const conversation = [
      { from: 'human', value: '<image>\nDescribe the lesion.' },
      { from: 'gpt', value: 'A brown macule.' },
    ];
    const files = {
      'llava.json': JSON.stringify([{ id: '1', image: 'a.png', conversations: conversation }]),
      'named.json': JSON.stringify({ 'a.png': { caption: 'A mole.', dx: 'nevus' } }),
      'plain.json': JSON.stringify({ 'a.png': 'A scar.' }),
    };
    const folder = await folderOf(files, ['images/a.png']);
    const texts = async (name: string): Promise<unknown> => {
      const [row] = await allRows(await openDataset(join(folder, name)));
      return [row!.path, row!.references.map(reference => reference.text)];
    };
    expect(await texts('llava.json')).toEqual(['images/a.png', ['A brown macule.']]);
    expect(await texts('named.json')).toEqual(['images/a.png', ['A mole.']]);
    expect(await texts('plain.json')).toEqual(['images/a.png', ['A scar.']]);
  });

  it('are recognised by their manifest too where no image is there yet', async () => {
    const folder = await folderOf({ 'list.csv': 'img,caption\nL1,A mole on the back of the hand.\n' });
    const rows = await allRows(await openDataset(folder));
    expect(rows.map(row => row.problem?.state)).toEqual(['missing']);
  });

  it('stop when they are told to', async () => {
    const folder = await folderOf({ 'data.csv': `image\n${'a.png\n'.repeat(50_000)}` }, ['a.png']);
    const dataset = await openDataset(folder);
    const abort = new AbortController();
    let seen = 0;
    const reading = (async () => {
      for await (const _row of dataset.rows({ signal: abort.signal })) if (++seen === 100) abort.abort();
    })();
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' });
    expect(seen).toBe(100);
  });

  it('give every row of any manifest an image inside the folder or a reason, and drop none', async () => {
    const folder = await folderOf({ 'outside.png': PNG }, ['root/images/a.png', 'root/images/b.jpg']);
    const name = fc.oneof(
      fc.constantFrom(
        'a.png',
        'images/b.jpg',
        'b',
        '../outside.png',
        '/etc/passwd',
        'gone.jpg',
        '',
        'C:\\a.png',
        '..\\..\\x',
      ),
      fc.string({ unit: 'grapheme', maxLength: 8 }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(name, fc.string({ maxLength: 6 })), { minLength: 1, maxLength: 8 }),
        async rows => {
          const quote = (text: string): string => `"${text.replace(/\0|\ufeff/g, '').replaceAll('"', '""')}"`;
          const lines = rows.map(([image, note]) => `${quote(image)},${quote(note)},k`);
          await writeFile(join(folder, 'root', 'data.csv'), `\ufeffimage,caption,key\n${lines.join('\n')}\n`);
          const read = await allRows(await openDataset(join(folder, 'root', 'data.csv')), {
            mapping: {
              image: ['image'],
              captions: ['caption'],
              label: [],
              split: null,
              source: null,
              group: null,
              id: 'key',
            },
          });
          expect(read.map(row => row.row)).toEqual(rows.map((_row, index) => index + 1));
          for (const { path, problem } of read) {
            expect(path.split('/')).not.toContain('..');
            if (problem === undefined) expect(['images/a.png', 'images/b.jpg']).toContain(path);
            else expect(problem.reason).toMatch(/^“data\.csv”, row \d+: /);
          }
        },
      ),
      { numRuns: 80 },
    );
  });
});
