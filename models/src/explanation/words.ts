/** The texts of single tokens, and the words they make up. */
import { DermcapError } from '../errors.js';

/** Stands for bytes that are not (yet) a character. */
const REPLACEMENT = '\u{fffd}';

/**
 * The text each token adds: together they are the whole text. A character spread over several tokens belongs to its
 * last one, the others add nothing.
 */
export function tokenTexts(decode: (tokens: number[]) => string, tokens: readonly number[]): string[] {
  let told = '';
  return tokens.map((_, i) => {
    const text = decode(tokens.slice(0, i + 1));
    const isLast = i === tokens.length - 1;
    if (!isLast && (text.endsWith(REPLACEMENT) || !text.startsWith(told))) return '';
    const added = text.slice(told.length);
    told = text;
    return added;
  });
}

/** A stretch of tokens between white space. */
export interface Word {
  /** Without the space before it. */
  text: string;
  /** Indices of its tokens. */
  tokens: number[];
}

/** A word begins with the first token and with each that starts with white space. */
export function groupWords(texts: readonly string[]): Word[] {
  const words: Word[] = [];
  texts.forEach((text, i) => {
    const last = words.at(-1);
    if (!last || (/^\s/u.test(text) && last.text.trim() !== '')) words.push({ text, tokens: [i] });
    else {
      last.text += text;
      last.tokens.push(i);
    }
  });
  return words.map(word => ({ ...word, text: word.text.trim() }));
}

/**
 * Tokens of every occurrence of the words asked for, whatever their case and the punctuation around them.
 * @throws DermcapError `word-missing` naming those that the text has not
 */
export function tokensOfWords(texts: readonly string[], asked: readonly string[]): number[] {
  const bare = (word: string) => word.toLowerCase().replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, '');
  const words = groupWords(texts);
  const wanted = asked.map(bare);
  const missing = asked.filter((_, i) => !words.some(word => bare(word.text) === wanted[i]));
  if (missing.length > 0)
    throw new DermcapError(
      'word-missing',
      `The text has no word ${missing.map(word => `“${word}”`).join(', ')}.`,
      { hint: `Its words: ${words.map(word => word.text).join(' ')}` },
    );
  return words.filter(word => wanted.includes(bare(word.text))).flatMap(word => word.tokens);
}
