import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadTokenizer } from './tokenizer.js';

interface Goldens {
  vocabSize: number;
  endOfText: number;
  encoded: { text: string; ids: number[]; decoded: string }[];
  decoded: { ids: number[]; text: string }[];
}

const small = fileURLToPath(new URL('../../../test/fixtures/text/small/', import.meta.url));

describe.each(['plain', 'added', 'prefix-space', 'normalised'])('tokenizer.json: %s', name => {
  it('encodes and decodes as the tokenizers library does', async () => {
    const goldens = JSON.parse(await readFile(join(small, `${name}.expected.json`), 'utf8')) as Goldens;
    const tokenizer = await loadTokenizer(join(small, `${name}.tokenizer.json`));
    expect(tokenizer.vocabSize).toBe(goldens.vocabSize);
    expect(tokenizer.endOfText).toBe(goldens.endOfText);
    expect(goldens.encoded.length).toBeGreaterThan(150);
    for (const { text, ids, decoded } of goldens.encoded) {
      expect({ text, ids: tokenizer.encode(text) }).toEqual({ text, ids });
      expect({ ids, text: tokenizer.decode(ids) }).toEqual({ ids, text: decoded });
    }
    for (const { ids, text } of goldens.decoded)
      expect({ ids, text: tokenizer.decode(ids) }).toEqual({ ids, text });
  });
});

describe('a file that is no tokenizer', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tokenizer-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each([
    ['text', 'not JSON', /it is not JSON/],
    ['an array', '[]', /the file: /],
    ['no model', '{}', /model: /],
    [
      'ids that are no numbers',
      '{"model": {"type": "BPE", "vocab": {"a": "b"}, "merges": []}}',
      /model\.vocab\.a/,
    ],
    ['an empty vocabulary', '{"model": {"type": "BPE", "vocab": {}, "merges": []}}', /vocabulary is empty/],
    [
      'a model of another kind',
      '{"model": {"type": "WordPiece", "vocab": {"a": 0}, "merges": []}}',
      /model\.type/,
    ],
    ['no merges', '{"model": {"type": "BPE", "vocab": {"a": 0}}}', /model\.merges/],
    [
      'tokens that stand for whole words only',
      '{"model": {"vocab": {"a": 0}, "merges": []}, "added_tokens": [{"id": 1, "content": "BCC", "single_word": true}]}',
      /“BCC” stands for whole words only/,
    ],
    [
      'a step nobody knows',
      '{"pre_tokenizer": {"type": "Nonesuch"}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}',
      /Nonesuch/,
    ],
  ])('is refused: %s', async (_, content, why) => {
    const path = join(folder, 'tokenizer.json');
    await writeFile(path, content);
    const failure = await loadTokenizer(path).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'tokenizer-invalid', message: expect.stringMatching(why) });
    expect(failure).toMatchObject({ message: expect.stringContaining(path) });
  });

  it('is refused when missing or a folder', async () => {
    await expect(loadTokenizer(join(folder, 'missing.json'))).rejects.toMatchObject({
      code: 'tokenizer-invalid',
    });
    await expect(loadTokenizer(folder)).rejects.toMatchObject({ code: 'tokenizer-invalid' });
  });
});
