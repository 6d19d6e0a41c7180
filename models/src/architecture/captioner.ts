/**
 * Which captioner a state dict is: a projector (this family's or ClipCap's) and a GPT-2, with or without LoRA, under
 * whatever name the training code gave the language model. Sizes come from shapes. Source: the trainer's DermCaptioner,
 * ClipCap's ClipCaptionModel and transformers' GPT2LMHeadModel.
 */
import type { TensorView } from '../checkpoint/tensor.js';
import { DermcapError } from '../errors.js';
import type { Gpt2Sizes, Gpt2Weights, ProjectorWeights } from '../graph/weights.js';
import { KeyLedger } from './keys.js';
import type { KeyAccount } from './keys.js';
import { conv1dSource } from './lora.js';
import type { AdapterConfig, LoraLayer } from './lora.js';
import { projectorArchitecture } from './projectors.js';
import type { ProjectorArchitecture } from './projectors.js';
import { stored } from './source.js';
import type { SourceLinear, SourcesOf } from './source.js';
import type { StateDict } from './stateDict.js';
import { countBlocks } from './vitArchitecture.js';

/** Heads of OpenAI's published sizes; others are taken to have heads of 64. */
const KNOWN_HEADS: Record<string, number> = {
  distilgpt2: 12,
  gpt2: 12,
  'gpt2-medium': 16,
  'gpt2-large': 20,
  'gpt2-xl': 25,
};
const DEFAULT_HEAD_SIZE = 64;

/** How every language model of transformers' GPT-2 begins, behind the name it was given. */
const TOKEN_EMBEDDING = /^(.*?)transformer\.wte\.(base_layer\.)?weight$/;

export interface CaptionerSources {
  projector: SourcesOf<ProjectorWeights>;
  gpt2: SourcesOf<Gpt2Weights>;
}

export interface CaptionerArchitecture {
  sizes: Omit<Gpt2Sizes, 'endOfText'>;
  /** Why this number of heads: `config.json`, a known name, or the head size. */
  headsFrom: string;
  layers: number;
  projector: ProjectorArchitecture;
  /** `projector.slots` and `projector.embedding`. */
  prefixSlots: number;
  embedding: number;
  tiedHead: boolean;
  lora: LoraLayer[];
  /** Stored key → element type counts, to tell fp16 files. */
  dtypes: Record<string, number>;
  keys: KeyAccount;
}

/** What else is known of the model beside its tensors. */
export interface CaptionerHints {
  /** `n_head` of a `config.json`. */
  heads?: number | undefined;
  /** `GPT2_NAME` of the training configuration. */
  gpt2Name?: string | undefined;
  /** PEFT's settings. */
  adapter?: AdapterConfig | null | undefined;
}

/** What stands before the language model's keys: "gpt2.", "gpt.", "language_model.", …; "gpt2." when there is none. */
export function languageModelPrefix(keys: Iterable<string>): string {
  for (const key of keys) {
    const prefix = TOKEN_EMBEDDING.exec(key)?.[1];
    if (prefix !== undefined) return prefix;
  }
  return 'gpt2.';
}

/** @throws DermcapError `keys-mismatch` | `heads-unknown` | `lora-scale-unknown` naming the file and what is wrong */
export function captionerArchitecture(
  dict: StateDict,
  hints: CaptionerHints = {},
): { architecture: CaptionerArchitecture; sources: CaptionerSources } {
  const keys = new KeyLedger(dict);
  const lm = languageModelPrefix(dict.tensors.keys());
  const lora: LoraLayer[] = [];
  const tensor = (key: string, ...shape: (number | null)[]) => stored(keys.take(key, shape));
  const norm = (key: string, width: number): SourceLinear => ({
    weight: tensor(`${key}.weight`, width),
    bias: tensor(`${key}.bias`, width),
  });
  const conv1d = (key: string, inputs: number, outputs: number): SourceLinear => {
    const found = conv1dSource(keys, key, inputs, outputs, hints.adapter ?? null);
    if (found.lora) lora.push(found.lora);
    return found.source;
  };

  const wte = keys.take(`${lm}transformer.wte.weight`, [null, null]);
  const [vocabulary, width] = wte.shape as [number, number];
  const wpe = keys.take(`${lm}transformer.wpe.weight`, [null, width]);
  const layers = countBlocks(dict.tensors.keys(), `${lm}transformer.h`);
  const blocks = Array.from({ length: layers }, (_, n) => {
    const h = `${lm}transformer.h.${n}`;
    return {
      ln1: norm(`${h}.ln_1`, width),
      attention: {
        qkv: conv1d(`${h}.attn.c_attn`, width, 3 * width),
        out: conv1d(`${h}.attn.c_proj`, width, width),
      },
      ln2: norm(`${h}.ln_2`, width),
      mlp: {
        up: conv1d(`${h}.mlp.c_fc`, width, 4 * width),
        down: conv1d(`${h}.mlp.c_proj`, 4 * width, width),
      },
    };
  });
  const finalNorm = norm(`${lm}transformer.ln_f`, width);
  const headKey = `${lm}lm_head.weight`;
  const head = keys.has(headKey) ? keys.take(headKey, [vocabulary, width]) : wte;
  const projector = projectorArchitecture(keys, lm, width);
  keys.ignore(
    /\.h\.\d+\.attn\.(bias|masked_bias)$/,
    'causal-mask buffer that old versions of transformers saved',
  );
  keys.ignore(/\.original_module\./, 'weights before training, which PEFT keeps beside the trained ones');
  keys.close('a captioner (a projector `prefix.*` or `clip_project.*`, and a GPT-2 `gpt2.*` or `gpt.*`)');

  const { heads, headsFrom } = headCount(dict.file, width, hints);
  return {
    architecture: {
      sizes: { width, heads, vocabulary, positions: wpe.shape[0]! },
      headsFrom,
      layers,
      projector: projector.architecture,
      prefixSlots: projector.architecture.slots,
      embedding: projector.architecture.embedding,
      tiedHead: head.storage === wte.storage && head.offset === wte.offset,
      lora,
      dtypes: dtypeCounts(dict.tensors),
      keys: keys.account(),
    },
    sources: {
      projector: projector.sources,
      gpt2: {
        tokenEmbedding: stored(wte),
        positionEmbedding: stored(wpe),
        blocks,
        finalNorm,
        head: stored(head),
      },
    },
  };
}

function headCount(
  file: string,
  width: number,
  { heads, gpt2Name }: CaptionerHints,
): { heads: number; headsFrom: string } {
  const known = gpt2Name === undefined ? undefined : KNOWN_HEADS[gpt2Name];
  const [count, from] =
    heads !== undefined
      ? [heads, 'config.json']
      : known !== undefined && known * DEFAULT_HEAD_SIZE === width
        ? [known, `the name ${gpt2Name}`]
        : [width / DEFAULT_HEAD_SIZE, `heads of ${DEFAULT_HEAD_SIZE}`];
  if (!Number.isInteger(count) || count < 1 || width % count !== 0)
    throw new DermcapError(
      'heads-unknown',
      `${file}: a width of ${width} cannot be split into ${count} attention heads (from ${from}).`,
      { hint: 'Put a config.json with "n_head" beside the checkpoint.' },
    );
  return { heads: count, headsFrom: from };
}

export function dtypeCounts(tensors: ReadonlyMap<string, TensorView>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { dtype } of tensors.values()) counts[dtype] = (counts[dtype] ?? 0) + 1;
  return counts;
}
