/**
 * GPT-2's byte-level BPE (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", §2.2), equal to
 * transformers' `GPT2Tokenizer`. The vocabulary is gpt-tokenizer's r50k table, in which an id is also the rank of its
 * merge. Of that package only the table is used: its `decode` keeps the bytes of a cut character for the next call, its
 * `encode` finds special tokens only at the start of a text, and JavaScript's `\s` is not the reference's.
 */
import ranks from 'gpt-tokenizer/bpeRanks/r50k_base';

/** Text to token ids and back. */
export interface Tokenizer {
  /** No special tokens are added; those written out in the text become their ids, as in the reference. */
  encode(text: string): number[];
  /** Special tokens are left out; spaces are not cleaned up. Bytes that are no UTF-8 become U+FFFD. */
  decode(ids: readonly number[]): string;
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** Id of `<|endoftext|>`; the last one of a vocabulary without it. */
  readonly endOfText: number;
}

const END_OF_TEXT = '<|endoftext|>';
const END_OF_TEXT_ID = 50256;

/** GPT-2's pieces, each of which is merged by itself. `\s` is written out: JavaScript's has U+FEFF and lacks U+0085. */
export const GPT2_PIECES = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+`;

/** Bytes are held as strings of characters U+0000 … U+00FF, which JavaScript can look up. */
interface Vocabulary {
  readonly bytesOf: readonly string[];
  readonly idOf: ReadonlyMap<string, number>;
}

let vocabulary: Vocabulary | undefined;

function readVocabulary(): Vocabulary {
  const bytesOf = ranks.map(token => latin1(Buffer.from(token as string)));
  return { bytesOf, idOf: new Map(bytesOf.map((bytes, id) => [bytes, id])) };
}

/**
 * GPT-2's tokenizer, built in. As in transformers, `<|endoftext|>` inside a text becomes the special token, no token is
 * added before or after, and decoding gives U+FFFD for bytes that are no UTF-8.
 */
export function gpt2Tokenizer(): Tokenizer {
  const { bytesOf, idOf } = (vocabulary ??= readVocabulary());
  const pieces = new RegExp(GPT2_PIECES, 'gu');
  return {
    encode: text =>
      text.split(END_OF_TEXT).flatMap((part, i) => {
        const ids = (part.match(pieces) ?? []).flatMap(piece => merge(latin1(Buffer.from(piece)), idOf));
        return i === 0 ? ids : [END_OF_TEXT_ID, ...ids];
      }),
    decode: ids =>
      Buffer.from(
        ids.map(id => (id === END_OF_TEXT_ID ? '' : (bytesOf[id] ?? ''))).join(''),
        'latin1',
      ).toString(),
    vocabSize: bytesOf.length + 1,
    endOfText: END_OF_TEXT_ID,
  };
}

/** Merges the pair that was learned first, the leftmost of equals, until none is left. */
function merge(bytes: string, idOf: ReadonlyMap<string, number>): number[] {
  const whole = idOf.get(bytes);
  if (whole !== undefined) return [whole];
  const parts = [...bytes];
  const rankAt = (i: number) =>
    (i + 1 < parts.length ? idOf.get(parts[i]! + parts[i + 1]!) : undefined) ?? Infinity;
  /** Of each part with the next one. */
  const pairRanks = parts.map((_, i) => rankAt(i));
  for (;;) {
    let at = 0;
    for (let i = 1; i < pairRanks.length; i++) if (pairRanks[i]! < pairRanks[at]!) at = i;
    if (pairRanks[at] === Infinity) return parts.map(part => idOf.get(part)!);
    parts.splice(at, 2, parts[at]! + parts[at + 1]!);
    pairRanks.splice(at + 1, 1);
    pairRanks[at] = rankAt(at);
    if (at > 0) pairRanks[at - 1] = rankAt(at - 1);
  }
}

function latin1(bytes: Buffer): string {
  return bytes.toString('latin1');
}
