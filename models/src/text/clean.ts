/**
 * The cleaning that open_clip puts before its tokenizers: ftfy's `fix_text`, HTML entities taken back twice, white space
 * collapsed (open_clip, `tokenizer.py`, `basic_clean` and `whitespace_clean`). Of ftfy the replacements of single
 * characters are done here; its repair of text decoded in a wrong encoding ("sÃ³" for "só") is not.
 */
import { decodeHTML } from 'entities';

/** Python's `str.split()`: Unicode's white space and the four separators U+001C … U+001F. */
const SPACES = /[\p{White_Space}\x1c-\x1f]+/gu; // eslint-disable-line no-control-regex

const LIGATURES: Record<string, string> = {
  Ĳ: 'IJ',
  ĳ: 'ij',
  ŉ: 'ʼn',
  Ǳ: 'DZ',
  ǲ: 'Dz',
  ǳ: 'dz',
  Ǆ: 'DŽ',
  ǅ: 'Dž',
  ǆ: 'dž',
  Ǉ: 'LJ',
  ǈ: 'Lj',
  ǉ: 'lj',
  Ǌ: 'NJ',
  ǋ: 'Nj',
  ǌ: 'nj',
  ﬀ: 'ff',
  ﬁ: 'fi',
  ﬂ: 'fl',
  ﬃ: 'ffi',
  ﬄ: 'ffl',
  ﬅ: 'ſt',
  ﬆ: 'st',
};
const LIGATURE = new RegExp(`[${Object.keys(LIGATURES).join('')}]`, 'g');
/** Half- and full-width forms (U+FF01 … U+FFEF) and the ideographic space. */
const WIDE = /[\u3000\uff01-\uffef]/g;
const SINGLE_QUOTES = /[\u02bc\u2018-\u201b]/g;
const DOUBLE_QUOTES = /[\u201c-\u201f]/g;
/** Control characters that are no white space, and deprecated or invisible ones that act as such. */
const CONTROLS = /[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g; // eslint-disable-line no-control-regex

/** Bytes of Windows-1252 that were read as Latin-1. */
const C1 = /[\x80-\x9f]/g;
const windows1252 = new TextDecoder('windows-1252');
/** Codes that colour a terminal. */
const TERMINAL = /\x1b\[[\d;]*[a-zA-Z]/g; // eslint-disable-line no-control-regex

/** What open_clip makes of a text before it is split into tokens; its CLIP tokenizer lowers the case as well. */
export function cleanForClip(text: string): string {
  const fixed = text
    .replace(C1, letter => windows1252.decode(Uint8Array.of(letter.charCodeAt(0))))
    .replace(LIGATURE, letter => LIGATURES[letter]!)
    .replace(WIDE, letter => letter.normalize('NFKC'))
    .replace(DOUBLE_QUOTES, '"')
    .replace(SINGLE_QUOTES, "'")
    .replace(TERMINAL, '')
    .replace(CONTROLS, '')
    .normalize('NFC');
  return decodeHTML(decodeHTML(fixed)).replace(SPACES, ' ').trim();
}
