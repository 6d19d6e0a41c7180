/** Text to token ids and back: GPT-2's BPE, built in, or the `tokenizer.json` a release brings along. */
import { readFile, stat } from 'node:fs/promises';
import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { DermcapError } from '../errors.js';
import { GPT2_PIECES } from './gpt2.js';
import type { Tokenizer } from './gpt2.js';

export { gpt2Tokenizer } from './gpt2.js';
export type { Tokenizer } from './gpt2.js';

/** The largest known vocabularies (256,000 tokens) make files of about 35 MB (CWE-770). */
const MAX_FILE_BYTES = 100_000_000;

/** What of a `tokenizer.json` is read here; the rest is the library's, which wants every step to be there. */
const Definition = z.looseObject({
  model: z.looseObject({
    type: z.literal('BPE').default('BPE'),
    vocab: z.record(z.string(), z.int().min(0)),
    merges: z.array(z.unknown()),
  }),
  added_tokens: z
    .array(
      z.looseObject({ id: z.int().min(0), content: z.string(), single_word: z.boolean().default(false) }),
    )
    .default([]),
  normalizer: z.unknown().default(null),
  pre_tokenizer: z.unknown().default(null),
  post_processor: z.unknown().default(null),
  decoder: z.unknown().default(null),
});
type Definition = z.infer<typeof Definition>;

/**
 * A release's own `tokenizer.json` (the format of the tokenizers library) with a BPE model, as GPT-2's are; alone: no
 * `tokenizer_config.json` is needed.
 * @throws DermcapError `tokenizer-invalid` naming the file and what is wrong with it
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  const definition = await readDefinition(path);
  const ids = [...Object.values(definition.model.vocab), ...definition.added_tokens.map(token => token.id)];
  if (ids.length === 0) throw invalid(path, 'its vocabulary is empty');
  const vocabSize = ids.reduce((largest, id) => Math.max(largest, id), 0) + 1;
  const alone = definition.added_tokens.find(token => token.single_word);
  if (alone)
    throw invalid(path, `its token “${alone.content}” stands for whole words only, which is not supported`);
  const written = definition.added_tokens.find(token => token.content === '<|endoftext|>');
  let tokenizer: HubTokenizer;
  try {
    const adapted = { ...definition, pre_tokenizer: withUnicodeSpaces(definition.pre_tokenizer) };
    tokenizer = new HubTokenizer(adapted, { clean_up_tokenization_spaces: false });
    tokenizer.encode('a', { add_special_tokens: false });
  } catch (cause) {
    throw invalid(path, (cause as Error).message, cause);
  }
  return {
    encode: text => tokenizer.encode(text, { add_special_tokens: false }).ids,
    decode: tokens => {
      // The reference skips ids that it does not know; the library would decode "undefined", and refuses an empty list.
      const known = tokens.filter(id => tokenizer.id_to_token(id) !== undefined);
      return known.length === 0 ? '' : tokenizer.decode(known, { skip_special_tokens: true });
    },
    vocabSize,
    endOfText: written?.id ?? definition.model.vocab['<|endoftext|>'] ?? vocabSize - 1,
  };
}

async function readDefinition(path: string): Promise<Definition> {
  const file = await stat(path).catch(cause => {
    throw invalid(path, 'it does not exist or cannot be opened', cause);
  });
  if (!file.isFile()) throw invalid(path, 'it is not a file');
  if (file.size > MAX_FILE_BYTES) throw invalid(path, `${file.size} bytes are more than a vocabulary has`);
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw invalid(path, 'it is not JSON', cause);
  }
  const { data, error } = Definition.safeParse(json);
  if (error) {
    const [issue] = error.issues;
    throw invalid(path, `${issue!.path.join('.') || 'the file'}: ${issue!.message}`, error);
  }
  return data;
}

/**
 * The library splits for byte-level BPE with JavaScript's `\s`, which is not Unicode's (U+FEFF, U+0085): the same split
 * is asked for in words, which it takes literally.
 */
export function withUnicodeSpaces(step: unknown): unknown {
  const { data } = PreTokenizer.safeParse(step);
  if (!data) return step;
  if (data.type === 'Sequence') return { ...data, pretokenizers: data.pretokenizers?.map(withUnicodeSpaces) };
  if (data.type !== 'ByteLevel' || data.use_regex === false || data.add_prefix_space === true) return step;
  const split = { type: 'Split', pattern: { Regex: GPT2_PIECES }, behavior: 'Isolated', invert: false };
  return { type: 'Sequence', pretokenizers: [split, { ...data, use_regex: false }] };
}

const PreTokenizer = z.looseObject({
  type: z.string(),
  use_regex: z.boolean().optional(),
  add_prefix_space: z.boolean().optional(),
  pretokenizers: z.array(z.unknown()).optional(),
});

function invalid(path: string, why: string, cause?: unknown): DermcapError {
  return new DermcapError('tokenizer-invalid', `${path} is not a tokenizer that can be read: ${why}.`, {
    hint: 'A tokenizer.json as the tokenizers library saves it is needed.',
    cause,
  });
}
