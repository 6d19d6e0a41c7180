import { Refusal } from './refusal.js';

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * UTF-8 as Python pickles it: lone surrogates (names of files that are not UTF-8) stand as three bytes.
 * @throws Refusal
 */
export function decodeText(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    let text = '';
    let begin = 0;
    try {
      for (let i = 0; i + 2 < bytes.length; i++) {
        if (bytes[i] !== 0xed || (bytes[i + 1]! & 0xe0) !== 0xa0) continue;
        const surrogate = 0xd000 | ((bytes[i + 1]! & 0x3f) << 6) | (bytes[i + 2]! & 0x3f);
        text += UTF8.decode(bytes.subarray(begin, i)) + String.fromCharCode(surrogate);
        begin = i + 3;
        i += 2;
      }
      return text + UTF8.decode(bytes.subarray(begin));
    } catch {
      throw new Refusal('checkpoint-damaged', 'a text is not UTF-8.');
    }
  }
}
