import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gpt2Tokenizer } from './tokenizer.js';

interface Goldens {
  encoded: { text: string; ids: number[]; decoded: string }[];
  decoded: { ids: number[]; text: string }[];
}

const file = new URL('../../../test/fixtures/text/gpt2.json', import.meta.url);
const goldens = JSON.parse(await readFile(file, 'utf8')) as Goldens;
const tokenizer = gpt2Tokenizer();
/** Any code points but surrogates; fast-check's own take seconds to draw. */
const codePoint = fc.oneof(fc.integer({ min: 0, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }));
const text = fc.array(codePoint, { maxLength: 40 }).map(points => String.fromCodePoint(...points));

describe("GPT-2's BPE", () => {
  it('encodes every text as transformers does', () => {
    expect(goldens.encoded.length).toBeGreaterThan(300);
    for (const { text, ids } of goldens.encoded)
      expect({ text, ids: tokenizer.encode(text) }).toEqual({ text, ids });
  });

  it('decodes what it encoded as transformers does', () => {
    for (const { ids, decoded } of goldens.encoded) expect(tokenizer.decode(ids)).toBe(decoded);
  });

  it('decodes cut characters and bytes that are no UTF-8 as transformers does', () => {
    for (const { ids, text } of goldens.decoded)
      expect({ ids, text: tokenizer.decode(ids) }).toEqual({ ids, text });
  });

  it("has the ids of the model card's prompt", () => {
    const prompt =
      'Describe the skin lesion concisely (morphology, color, scale, border, location) in one sentence.Conclude with the most likely diagnosis (1–3 words).';
    expect(tokenizer.encode(prompt)).toEqual([
      24564, 4892, 262, 4168, 10287, 295, 35327, 306, 357, 24503, 1435, 11, 3124, 11, 5046, 11, 4865, 11,
      4067, 8, 287, 530, 6827, 13, 3103, 9152, 351, 262, 749, 1884, 13669, 357, 16, 1906, 18, 2456, 737,
    ]);
  });

  it('keeps nothing of a cut character for the next call', () => {
    const [cut] = tokenizer.encode('🙂');
    expect(tokenizer.decode([cut!])).toBe('\ufffd');
    expect(tokenizer.decode(tokenizer.encode('papule'))).toBe('papule');
  });

  it('knows its size and its end-of-text token', () => {
    expect(tokenizer.vocabSize).toBe(50257);
    expect(tokenizer.endOfText).toBe(50256);
    expect(tokenizer.encode('a<|endoftext|>')).toEqual([64, 50256]);
    expect(tokenizer.decode([64, 50256, 65])).toBe('ab');
  });

  it('gives back any text without special tokens', () => {
    fc.assert(
      fc.property(text, any => {
        expect(tokenizer.decode(tokenizer.encode(any))).toBe(any);
      }),
    );
  });

  it('writes U+FFFD for a lone surrogate, which has no UTF-8', () => {
    expect(tokenizer.decode(tokenizer.encode('a\ud800b'))).toBe('a\ufffdb');
  });
});
