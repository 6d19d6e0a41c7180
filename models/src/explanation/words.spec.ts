import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gpt2Tokenizer } from '../text/tokenizer.js';
import { groupWords, tokensOfWords, tokenTexts } from './words.js';

const tokenizer = gpt2Tokenizer();
const decode = (tokens: number[]) => tokenizer.decode(tokens);
const textsOf = (text: string) => tokenTexts(decode, tokenizer.encode(text));

describe('tokenTexts', () => {
  it('together are the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), text => {
        expect(textsOf(text).join('')).toBe(text);
      }),
    );
  });

  it('gives a character of several tokens to its last', () => {
    expect(textsOf('≤ 5 mm')).toEqual(['', '≤', ' 5', ' mm']);
  });

  it('shows bytes that never become a character', () => {
    const [first] = tokenizer.encode('≤');
    expect(tokenTexts(decode, [first!])).toEqual(['\u{fffd}']);
  });
});

describe('groupWords', () => {
  it('joins tokens up to the next white space', () => {
    expect(groupWords(['A', ' pl', 'aque', ',', ' red'])).toEqual([
      { text: 'A', tokens: [0] },
      { text: 'plaque,', tokens: [1, 2, 3] },
      { text: 'red', tokens: [4] },
    ]);
  });

  it('leaves no token out', () => {
    fc.assert(
      fc.property(fc.string(), text => {
        const texts = textsOf(text);
        expect(groupWords(texts).flatMap(word => word.tokens)).toEqual(texts.map((_, i) => i));
      }),
    );
  });
});

describe('tokensOfWords', () => {
  const texts = ['A', ' scal', 'y', ' plaque', '.', ' Scal', 'y', ' border'];

  it('finds every occurrence, whatever the case and the punctuation', () => {
    expect(tokensOfWords(texts, ['SCALY'])).toEqual([1, 2, 5, 6]);
    expect(tokensOfWords(texts, ['plaque', 'border,'])).toEqual([3, 4, 7]);
  });

  it('names the words that are missing, and those there are', () => {
    expect(() => tokensOfWords(texts, ['plaque', 'nevus'])).toThrow(
      expect.objectContaining({
        code: 'word-missing',
        message: 'The text has no word “nevus”.',
        hint: 'Its words: A scaly plaque. Scaly border',
      }),
    );
  });
});
