/**
 * Which captioner a state dict is: the projector and the GPT-2 of this family, with or without LoRA.
 * Sizes come from shapes. Source: the trainer's DermCaptioner and transformers' GPT2LMHeadModel.
 */
import type { TensorView } from '../checkpoint/tensor.js';
import { DermcapError } from '../errors.js';
import type { Gpt2Sizes, Gpt2Weights, ProjectorWeights } from '../graph/weights.js';
import { KeyLedger } from './keys.js';
import type { KeyAccount } from './keys.js';
import { stored } from './source.js';
import type { SourceLinear, SourcesOf } from './source.js';
import type { StateDict } from './stateDict.js';

/** The trainer's LoRA alpha, a constant of its code that no file holds. */
const LORA_ALPHA = 16;

/** Heads of OpenAI's published sizes; others are taken to have heads of 64. */
const KNOWN_HEADS: Record<string, number> = {
  distilgpt2: 12,
  gpt2: 12,
  'gpt2-medium': 16,
  'gpt2-large': 20,
  'gpt2-xl': 25,
};
const DEFAULT_HEAD_SIZE = 64;

export interface CaptionerSources {
  projector: SourcesOf<ProjectorWeights>;
  gpt2: SourcesOf<Gpt2Weights>;
}

export interface LoraLayer {
  /** e.g. gpt2.transformer.h.23.attn.c_attn */
  layer: string;
  rank: number;
  scale: number;
}

export interface CaptionerArchitecture {
  sizes: Omit<Gpt2Sizes, 'endOfText'>;
  /** Why this number of heads: `config.json`, a known name, or the head size. */
  headsFrom: string;
  layers: number;
  prefixSlots: number;
  embedding: number;
  hidden: number;
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
}

/** @throws DermcapError `keys-mismatch` | `heads-unknown` naming the file and what is wrong */
export function captionerArchitecture(
  dict: StateDict,
  hints: CaptionerHints = {},
): { architecture: CaptionerArchitecture; sources: CaptionerSources } {
  const keys = new KeyLedger(dict);
  const lora: LoraLayer[] = [];
  const tensor = (key: string, ...shape: (number | null)[]) => stored(keys.take(key, shape));
  const norm = (key: string, width: number): SourceLinear => ({
    weight: tensor(`${key}.weight`, width),
    bias: tensor(`${key}.bias`, width),
  });
  const linear = (key: string, outputs: number, inputs: number): SourceLinear => ({
    weight: tensor(`${key}.weight`, outputs, inputs),
    bias: tensor(`${key}.bias`, outputs),
  });
  const conv1d = (key: string, inputs: number, outputs: number): SourceLinear => {
    if (!keys.has(`${key}.base.weight`))
      return { weight: tensor(`${key}.weight`, inputs, outputs), bias: tensor(`${key}.bias`, outputs) };
    const base = keys.take(`${key}.base.weight`, [inputs, outputs]);
    const a = keys.take(`${key}.A.weight`, [null, inputs]);
    const rank = a.shape[0]!;
    const b = keys.take(`${key}.B.weight`, [outputs, rank]);
    const scale = LORA_ALPHA / rank;
    lora.push({ layer: key, rank, scale });
    return { weight: { kind: 'lora', base, a, b, scale }, bias: tensor(`${key}.base.bias`, outputs) };
  };

  const wte = keys.take('gpt2.transformer.wte.weight', [null, null]);
  const [vocabulary, width] = wte.shape as [number, number];
  const wpe = keys.take('gpt2.transformer.wpe.weight', [null, width]);
  const layers = countBlocks(dict.tensors);
  const blocks = Array.from({ length: layers }, (_, n) => {
    const h = `gpt2.transformer.h.${n}`;
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
  const finalNorm = norm('gpt2.transformer.ln_f', width);
  const headKey = 'gpt2.lm_head.weight';
  const head = keys.has(headKey) ? keys.take(headKey, [vocabulary, width]) : wte;

  const fc1 = keys.peek('prefix.fc1.weight');
  const [hidden, embedding] = (fc1?.shape ?? [0, 0]) as [number, number];
  const slots = (keys.peek('prefix.fc2.weight')?.shape[0] ?? 0) / (width || 1);
  const projector = {
    fc1: linear('prefix.fc1', hidden, embedding),
    fc2: linear('prefix.fc2', Math.ceil(slots) * width, hidden),
    norm: norm('prefix.ln', width),
    alpha: tensor('prefix.alpha'),
  };
  keys.ignore(
    /^gpt2\.transformer\.h\.\d+\.attn\.(bias|masked_bias)$/,
    'causal-mask buffer that old versions of transformers saved',
  );
  keys.close('a captioner of this family (projector `prefix.*`, GPT-2 `gpt2.*`)');

  const { heads, headsFrom } = headCount(dict.file, width, hints);
  return {
    architecture: {
      sizes: { width, heads, vocabulary, positions: wpe.shape[0]! },
      headsFrom,
      layers,
      prefixSlots: slots,
      embedding,
      hidden,
      tiedHead: head.storage === wte.storage && head.offset === wte.offset,
      lora,
      dtypes: dtypeCounts(dict.tensors),
      keys: keys.account(),
    },
    sources: {
      projector,
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

function countBlocks(tensors: ReadonlyMap<string, TensorView>): number {
  const numbers = [...tensors.keys()].map(key => /^gpt2\.transformer\.h\.(\d+)\./.exec(key)?.[1]);
  return Math.max(0, ...numbers.map(n => (n === undefined ? 0 : Number(n) + 1)));
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
