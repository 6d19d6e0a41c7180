/**
 * The tokenizers of text towers: BERT's WordPiece and CLIP's BPE, from the `tokenizer.json` in the tower's folder or the
 * older files it was made of (`vocab.txt`; `vocab.json` with `merges.txt`).
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers';
import { existingFile, isFile, parseJson, readJsonObject } from '../architecture/files.js';
import { DermcapError } from '../errors.js';
import { withUnicodeSpaces } from './tokenizer.js';

/** Text to the ids a text tower takes: begin, text cut to what fits, end. No padding. */
export type TextEncoder = (text: string) => number[];

export type TextTokenizerKind = 'bert' | 'clip';

/**
 * @param maxTokens of a text, begin and end included
 * @throws DermcapError `tokenizer-missing` naming the files that would do, `tokenizer-invalid`
 */
export async function textTokenizer(
  folder: string,
  kind: TextTokenizerKind,
  maxTokens: number,
): Promise<TextEncoder> {
  const { path, definition } = await readDefinition(folder, kind);
  const invalid = (why: string, cause?: unknown) =>
    new DermcapError('tokenizer-invalid', `${path} is not a tokenizer that can be read: ${why}.`, {
      hint: 'Fetch the file again from where the vision tower came from.',
      cause,
    });
  let tokenizer: HubTokenizer;
  let ends: number[];
  try {
    const { normalizer, pre_tokenizer } = definition;
    const adapted = {
      ...definition,
      normalizer: withUnicodePatterns(normalizer),
      pre_tokenizer: withUnicodePatterns(withUnicodeSpaces(pre_tokenizer)),
    };
    tokenizer = new HubTokenizer(adapted, {});
    ends = tokenizer.encode('').ids;
  } catch (cause) {
    throw invalid((cause as Error).message, cause);
  }
  if (ends.length !== 2) throw invalid(`it puts ${ends.length} special tokens around a text instead of two`);
  const [begin, end] = ends as [number, number];
  return text => [
    begin,
    ...tokenizer.encode(text, { add_special_tokens: false }).ids.slice(0, maxTokens - 2),
    end,
  ];
}

async function readDefinition(
  folder: string,
  kind: TextTokenizerKind,
): Promise<{ path: string; definition: Record<string, unknown> }> {
  const path = await existingFile(folder, ['tokenizer.json']);
  if (path !== null) return { path, definition: await readJsonObject(path) };
  if (kind === 'bert') {
    const vocabulary = join(folder, 'vocab.txt');
    if (await isFile(vocabulary))
      return { path: vocabulary, definition: wordPiece((await readFile(vocabulary, 'utf8')).split(/\r?\n/)) };
  } else {
    const [vocabulary, merges] = [join(folder, 'vocab.json'), join(folder, 'merges.txt')];
    if ((await isFile(vocabulary)) && (await isFile(merges)))
      return {
        path: vocabulary,
        definition: clipBpe(
          parseJson(vocabulary, await readFile(vocabulary, 'utf8')) as Record<string, number>,
          (await readFile(merges, 'utf8')).split(/\r?\n/),
        ),
      };
  }
  throw new DermcapError('tokenizer-missing', `${folder} holds no tokenizer of its text tower.`, {
    hint:
      kind === 'bert'
        ? 'Put the tokenizer.json (or vocab.txt) of its BERT there.'
        : 'Put a tokenizer.json (or vocab.json and merges.txt) of CLIP there, as openai/clip-vit-base-patch32 has them.',
  });
}

/** What transformers' BertTokenizer makes of a `vocab.txt`, uncased. */
function wordPiece(lines: readonly string[]): Record<string, unknown> {
  const tokens = lines.at(-1) === '' ? lines.slice(0, -1) : lines;
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].filter(token => token in vocab);
  return {
    added_tokens: special.map(token => addedToken(token, vocab[token]!)),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: around(['[CLS]', vocab['[CLS]']], ['[SEP]', vocab['[SEP]']]),
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
  };
}

/** What transformers' CLIPTokenizer makes of `vocab.json` and `merges.txt`. */
function clipBpe(vocab: Record<string, number>, lines: readonly string[]): Record<string, unknown> {
  const merges = lines
    .filter(line => line !== '' && !line.startsWith('#version'))
    .map(line => line.split(' '));
  const [begin, end] = ['<|startoftext|>', '<|endoftext|>'];
  return {
    added_tokens: [begin, end].map(token => addedToken(token, vocab[token]!)),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: String.raw`\s+` }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        {
          type: 'Split',
          pattern: { Regex: String.raw`'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+` },
          behavior: 'Removed',
          invert: true,
        },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: around([begin, vocab[begin]], [end, vocab[end]]),
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      unk_token: end,
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      vocab,
      merges,
    },
  };
}

type Special = [token: string, id: number | undefined];

function around(begin: Special, end: Special): object {
  const special = ([id]: Special) => ({ SpecialToken: { id, type_id: 0 } });
  const sequence = { Sequence: { id: 'A', type_id: 0 } };
  return {
    type: 'TemplateProcessing',
    single: [special(begin), sequence, special(end)],
    pair: [special(begin), sequence, special(end), { Sequence: { id: 'B', type_id: 1 } }, special(end)],
    special_tokens: Object.fromEntries(
      [begin, end].map(([token, id]) => [token, { id: token, ids: [id], tokens: [token] }]),
    ),
  };
}

function addedToken(content: string, id: number): object {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
}

/** The library reads a pattern's `\s` as JavaScript's, which is not Unicode's (U+FEFF, U+0085). */
function withUnicodePatterns(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withUnicodePatterns);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      key === 'Regex' && typeof item === 'string'
        ? item.replaceAll(String.raw`\s`, String.raw`\p{White_Space}`)
        : withUnicodePatterns(item),
    ]),
  );
}
