import { gzipSync } from 'node:zlib';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { folderOf } from '../testFolder.js';
import { openCsv } from './csv.js';
import type { Entry, Table } from './table.js';

async function open(content: string | Uint8Array, name = 'data.csv'): Promise<Table> {
  return openCsv(join(await folderOf({ [name]: content }), name), name);
}

async function entriesOf(table: Table): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const entry of table.entries()) entries.push(entry);
  return entries;
}

async function read(content: string | Uint8Array, name?: string): Promise<Entry['values'][]> {
  return (await entriesOf(await open(content, name))).map(entry => entry.values);
}

function utf16(text: string, options: { big: boolean; mark: boolean }): Buffer {
  const bytes = Buffer.from((options.mark ? '\ufeff' : '') + text, 'utf16le');
  return options.big ? bytes.swap16() : bytes;
}

const TEXT = 'image,caption\na.png,Größe „5“ mm\nb.png,"two\nlines, one ""quote"""\n';
const ROWS = [
  { image: 'a.png', caption: 'Größe „5“ mm' },
  { image: 'b.png', caption: 'two\nlines, one "quote"' },
];

describe('CSV', () => {
  it.each<[string, string | Uint8Array]>([
    ['UTF-8', TEXT],
    ['UTF-8 with a byte order mark', `\ufeff${TEXT}`],
    ['UTF-16, little-endian', utf16(TEXT, { big: false, mark: true })],
    ['UTF-16, big-endian', utf16(TEXT, { big: true, mark: true })],
    ['UTF-16 without a mark', utf16(TEXT, { big: false, mark: false })],
    ['big-endian UTF-16 without a mark', utf16(TEXT, { big: true, mark: false })],
    ['no line end at the end', TEXT.trimEnd()],
    ['empty lines at the end', `${TEXT}\n\n`],
  ])('reads %s', async (_name, content) => {
    expect(await read(content)).toEqual(ROWS);
  });

  it.each([
    ['\r\n', ','],
    ['\r', ','],
    ['\n', ';'],
    ['\r\n', '\t'],
    ['\n', '|'],
  ])('reads lines that end in %j and fields cut by %j', async (end, delimiter) => {
    const text = ['image,note', 'a.png,x', '"b.png","y,;\t|z"'].join(end).replaceAll(',', delimiter);
    expect(await read(text)).toEqual([
      { image: 'a.png', note: 'x' },
      { image: 'b.png', note: `y${delimiter};\t|z` },
    ]);
  });

  it('reads gzip, and says when it is cut short', async () => {
    const packed = gzipSync(TEXT.repeat(1000));
    expect((await read(gzipSync(TEXT), 'data.csv.gz')).length).toBe(2);
    await expect(read(packed.subarray(0, packed.length / 2), 'data.csv.gz')).rejects.toMatchObject({
      code: 'dataset-damaged',
      message: expect.stringContaining('“data.csv.gz”: its gzip compression is cut short') as string,
    });
  });

  it('reads code pages that are no Unicode, and says so', async () => {
    const latin = await open(Buffer.from('image,caption\na.png,na\xefve caf\xe9\n', 'latin1'));
    expect(latin.notes).toEqual(['It is not UTF-8 (line 2) and was read as windows-1252.']);
    expect((await entriesOf(latin))[0]!.values).toEqual({ image: 'a.png', caption: 'naïve café' });
    // “红斑” in GB 18030.
    const chinese = await open(Buffer.from('image,caption\na.png,\xba\xec\xb0\xdf\n', 'latin1'));
    expect((await entriesOf(chinese))[0]!.values).toEqual({ image: 'a.png', caption: '红斑' });
    expect(chinese.notes[0]).toContain('gb18030');
  });

  it('numbers columns without a name and those that come twice', async () => {
    expect((await open(',a,a,\n1,2,3,4\n')).columns).toEqual(['column 1', 'a', 'a (2)', 'column 4']);
  });

  it('reads a file without a header', async () => {
    const table = await open('images/a.png,nevus\nimages/b.png,bcc\n');
    expect(table.columns).toEqual(['column 1', 'column 2']);
    expect(await entriesOf(table)).toHaveLength(2);
  });

  it('believes a spreadsheet that names its delimiter above the header', async () => {
    expect(await read('sep=;\r\nimage;note\r\na.png;x, y, z\r\n')).toEqual([
      { image: 'a.png', note: 'x, y, z' },
    ]);
  });

  it('reads row names that R writes without a column name', async () => {
    expect(await read('"image" "dx"\n"1" "a.png" "nevus"\n"2" "b.png" "bcc"\n'.replaceAll(' ', ','))).toEqual(
      [
        { 'column 1': '1', image: 'a.png', dx: 'nevus' },
        { 'column 1': '2', image: 'b.png', dx: 'bcc' },
      ],
    );
  });

  it('takes a delimiter at the end of every row for no field', async () => {
    expect(await read('image,dx\na.png,nevus,\nb.png,bcc,\n')).toEqual([
      { image: 'a.png', dx: 'nevus' },
      { image: 'b.png', dx: 'bcc' },
    ]);
  });

  it('keeps a row that is out of step and says which', async () => {
    const entries = await entriesOf(
      await open('image,dx\na.png,nevus\nb.png,bcc,extra\nc.png\nd.png,mel,\n'),
    );
    expect(entries.map(({ row, fault }) => [row, fault])).toEqual([
      [1, undefined],
      [2, 'it has 3 fields where the header has 2'],
      [3, undefined],
      [4, undefined],
    ]);
    expect(entries[2]!.values).toEqual({ image: 'c.png', dx: null });
  });

  it('takes a quotation mark within a field for what it is', async () => {
    expect(await read('image,size\na.png,5" wide\n')).toEqual([{ image: 'a.png', size: '5" wide' }]);
  });

  it.each<[string, string | Uint8Array, string]>([
    ['a quote that is never closed', 'image,dx\na.png,"nevus\nb.png,bcc\n', '“data.csv”, row 1'],
    ['nothing', '', '“data.csv”: it is empty.'],
    [
      'a broken character',
      Buffer.concat([Buffer.from('image,dx\nü.png,x\nb.png,'), Buffer.from([0xff, 10])]),
      '“data.csv”, line 3: it is UTF-8 with a character that is broken.',
    ],
    ['bytes that are no text', Buffer.from([0x89, 0x50, 0, 0, 0, 13, 0, 1, 2, 3, 0, 0]), 'it is not text'],
  ])('says what is wrong with %s', async (_name, content, sentence) => {
    await expect(read(content)).rejects.toMatchObject({
      code: 'dataset-damaged',
      message: expect.stringContaining(sentence) as string,
    });
  });

  it('stops when it is told to', async () => {
    const table = await open(`image\n${'a.png\n'.repeat(200_000)}`);
    const abort = new AbortController();
    const reading = (async () => {
      let seen = 0;
      for await (const _entry of table.entries(abort.signal)) if (++seen === 10) abort.abort();
      return seen;
    })();
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('reads back any table that was written by the rules', async () => {
    const cell = fc.string({ unit: 'grapheme', maxLength: 12 }).filter(text => !/\0|\ufeff/.test(text));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(cell, cell, cell), { minLength: 1, maxLength: 8 }),
        fc.constantFrom(',', ';', '\t', '|'),
        fc.constantFrom('\n', '\r\n'),
        fc.constantFrom('utf8', 'utf16le'),
        async (rows, delimiter, end, encoding) => {
          const quote = (text: string): string => `"${text.replaceAll('"', '""')}"`;
          const lines = [['one', 'two', 'three'], ...rows].map(cells => cells.map(quote).join(delimiter));
          const text = `\ufeff${lines.join(end)}${end}`;
          const read = await entriesOf(await open(Buffer.from(text, encoding as BufferEncoding)));
          const expected = rows
            .filter(cells => cells.some(cell => cell.trim() !== ''))
            .map(cells => cells.map(cell => (cell === '' ? null : cell)));
          expect(read.map(({ values }) => [values['one'], values['two'], values['three']])).toEqual(expected);
          expect(read.every(({ fault }) => fault === undefined)).toBe(true);
        },
      ),
      { numRuns: 80 },
    );
  });

  it('answers any bytes with rows or a sentence', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async bytes => {
        try {
          for (const entry of await entriesOf(await open(bytes))) expect(entry.row).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toMatchObject({ code: 'dataset-damaged' });
        }
      }),
      { numRuns: 150 },
    );
  });
});
