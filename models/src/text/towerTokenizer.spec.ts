import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { textTokenizer } from './towerTokenizer.js';

const TOWERS = join(import.meta.dirname, '../../../test/fixtures/towers');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dermcap-tokens-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('a text tower’s tokenizer', () => {
  it('names the files that would do when its folder has none', async () => {
    await expect(textTokenizer(folder, 'clip', 77)).rejects.toMatchObject({
      code: 'tokenizer-missing',
      hint: expect.stringContaining('vocab.json and merges.txt') as string,
    });
    await expect(textTokenizer(folder, 'bert', 256)).rejects.toMatchObject({
      hint: expect.stringContaining('vocab.txt') as string,
    });
  });

  it('keeps begin and end of a text that is cut', async () => {
    const encode = await textTokenizer(join(TOWERS, 'open-clip-quick'), 'clip', 6);
    const [begin, end] = encode('') as [number, number];
    const ids = encode('a flat brown patch with an even border');
    expect(ids).toHaveLength(6);
    expect([ids[0], ids.at(-1)]).toEqual([begin, end]);
  });

  it('refuses a file that puts nothing around a text', async () => {
    const vocab = { a: 0 };
    await writeFile(
      join(folder, 'tokenizer.json'),
      JSON.stringify({ added_tokens: [], model: { type: 'BPE', vocab, merges: [] } }),
    );
    await expect(textTokenizer(folder, 'clip', 77)).rejects.toMatchObject({ code: 'tokenizer-invalid' });
  });
});
