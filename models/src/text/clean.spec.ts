import { describe, expect, it } from 'vitest';
import { cleanForClip } from './clean.js';

/** Each pair as open_clip 3.3's `_clean_whitespace` gives it. */
describe('cleaning before a CLIP tokenizer', () => {
  it.each([
    ['It’s “flat” – 2–3 mm', 'It\'s "flat" – 2–3 mm'],
    ['a &amp;lt; b &amp;amp; c', 'a < b & c'],
    ['caf&eacute; &notit; &#x41;&#39;', "café ¬it; A'"],
    ['ﬁne ĳ ŉ', "fine ij 'n"],
    ['ＷＩＤＥ　ﾀ', 'WIDE タ'],
    ['\u001b[31mred\u001b[0m', 'red'],
    ['zero\u200bwidth\ufeffbom\u0007', 'zero\u200bwidthbom'],
    ['e\u0301', 'é'],
    ['a\u0085b\u2028c\td', 'a…b c d'],
    ['  x \n ', 'x'],
  ])('%j', (text, cleaned) => {
    expect(cleanForClip(text)).toBe(cleaned);
  });
});
