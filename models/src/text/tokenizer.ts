/** Text to token ids and back, by libraries. */
import { readFile } from 'node:fs/promises';
import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers';
import * as r50k from 'gpt-tokenizer/encoding/r50k_base';
import { DermcapError } from '../errors.js';

export interface Tokenizer {
  encode(text: string): number[];
  /** Special tokens are left out. */
  decode(ids: readonly number[]): string;
  readonly vocabSize: number;
  readonly endOfText: number;
}

/** GPT-2's BPE (OpenAI's r50k ranks), built in. */
export function gpt2Tokenizer(): Tokenizer {
  const endOfText = 50256;
  return {
    encode: text => r50k.encode(text, { allowedSpecial: 'all' }),
    decode: ids => r50k.decode(ids.filter(id => id !== endOfText)),
    vocabSize: 50257,
    endOfText,
  };
}

/** A release's own `tokenizer.json`. @throws DermcapError `tokenizer-invalid` */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  try {
    const definition = JSON.parse(await readFile(path, 'utf8')) as {
      model: { vocab: Record<string, number> };
      added_tokens?: { id: number; content: string }[];
    };
    const tokenizer = new HubTokenizer(definition, { clean_up_tokenization_spaces: false });
    const ids = [...Object.values(definition.model.vocab), ...(definition.added_tokens ?? []).map(t => t.id)];
    const vocabSize = Math.max(...ids) + 1;
    const special = definition.added_tokens?.find(token => token.content === '<|endoftext|>');
    return {
      encode: text => tokenizer.encode(text, { add_special_tokens: false }).ids,
      // The library refuses to decode nothing.
      decode: tokens => (tokens.length === 0 ? '' : tokenizer.decode([...tokens], { skip_special_tokens: true })),
      vocabSize,
      endOfText: special?.id ?? vocabSize - 1,
    };
  } catch (cause) {
    throw new DermcapError('tokenizer-invalid', `${path} is not a tokenizer that can be read: ${(cause as Error).message}`, {
      cause,
    });
  }
}
