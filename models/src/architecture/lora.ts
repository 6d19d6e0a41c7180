/**
 * LoRA around GPT-2's Conv1D layers, in the two forms that checkpoints hold it: the trainer's own (`<layer>.base`, `.A`,
 * `.B`) and HF PEFT's (`<layer>.base_layer` or the plain layer, `.lora_A.<adapter>`, `.lora_B.<adapter>`).
 */
import { join } from 'node:path';
import { z } from 'zod';
import { openCheckpoint } from '../checkpoint/open.js';
import type { TensorView } from '../checkpoint/tensor.js';
import { DermcapError } from '../errors.js';
import { existingFile, isFile, readJsonObject } from './files.js';
import type { KeyLedger } from './keys.js';
import { stored } from './source.js';
import type { SourceLinear } from './source.js';
import { listed, stateDict } from './stateDict.js';
import type { StateDict } from './stateDict.js';

/** The trainer's LoRA alpha, a constant of its code that no file holds. */
const LORA_ALPHA = 16;

export interface LoraLayer {
  /** e.g. gpt2.transformer.h.23.attn.c_attn */
  layer: string;
  rank: number;
  scale: number;
}

/** `adapter_config.json` of PEFT: what no tensor tells of an adapter. */
const AdapterConfig = z.looseObject({
  peft_type: z.literal('LORA').default('LORA'),
  lora_alpha: z.number(),
  use_rslora: z.boolean().default(false),
  use_dora: z.literal(false, 'DoRA is not supported').default(false),
  alpha_pattern: z.record(z.string(), z.number()).nullish(),
});
export type AdapterConfig = z.infer<typeof AdapterConfig>;

/**
 * PEFT's settings beside a checkpoint: `adapter_config.json`, else those the training configuration names.
 * @throws DermcapError `adapter-invalid`
 */
export async function readAdapterConfig(
  folder: string,
  training: Record<string, unknown>,
): Promise<AdapterConfig | null> {
  const path = join(folder, 'adapter_config.json');
  const value = (await isFile(path))
    ? await readJsonObject(path)
    : 'lora_alpha' in training
      ? training
      : null;
  if (value === null) return null;
  const { data, error } = AdapterConfig.safeParse(value);
  if (error) throw new DermcapError('adapter-invalid', `${path}: ${z.prettifyError(error)}`);
  return data;
}

/**
 * Lays an adapter that PEFT saved apart (`adapter_model.*`) over a checkpoint without LoRA. Its keys are relative to the
 * module that was wrapped: the captioner, or the language model alone (`prefix`, "gpt2.").
 */
export async function withAdapter(folder: string, dict: StateDict, prefix: string): Promise<StateDict> {
  const file = await existingFile(folder, ['adapter_model.safetensors', 'adapter_model.bin']);
  if (file === null) return dict;
  const adapter = stateDict(await openCheckpoint(file));
  const tensors = new Map(dict.tensors);
  for (const [key, view] of adapter.tensors) {
    const named = key.replace(/\.lora_([AB])\.weight$/, '.lora_$1.default.weight');
    tensors.set(named.startsWith(prefix) ? named : prefix + named, view);
  }
  return { ...dict, tensors, unwrapped: [...dict.unwrapped, `adapter ${file}`] };
}

/**
 * Where a Conv1D layer and its update lie, and what LoRA it has. Both forms store A as [r, in] and B as [out, r] beside
 * a base of [in, out], whatever `fan_in_fan_out` says: PEFT sets it for Conv1D by itself.
 * @throws DermcapError `lora-scale-unknown` when PEFT's scale is nowhere to be found
 */
export function conv1dSource(
  keys: KeyLedger,
  key: string,
  inputs: number,
  outputs: number,
  adapter: AdapterConfig | null,
): { source: SourceLinear; lora: LoraLayer | null } {
  const form = loraForm(keys, key);
  const base = form?.base ?? key;
  const weight = keys.take(`${base}.weight`, [inputs, outputs]);
  const bias = stored(keys.take(`${base}.bias`, [outputs]));
  if (form === null) return { source: { weight: stored(weight), bias }, lora: null };
  const a = keys.take(form.a, [null, inputs]);
  const rank = a.shape[0]!;
  const b = keys.take(form.b, [outputs, rank]);
  const scale = form.isPeft ? peftScale(a, key, rank, adapter) : LORA_ALPHA / rank;
  return {
    source: { weight: { kind: 'lora', base: weight, a, b, scale }, bias },
    lora: { layer: key, rank, scale },
  };
}

function loraForm(
  keys: KeyLedger,
  key: string,
): { base: string; a: string; b: string; isPeft: boolean } | null {
  if (keys.has(`${key}.base.weight`))
    return { base: `${key}.base`, a: `${key}.A.weight`, b: `${key}.B.weight`, isPeft: false };
  const isWrapped = keys.has(`${key}.base_layer.weight`);
  const names = keys.startingWith(`${key}.lora_A.`).map(name => name.slice(`${key}.lora_A.`.length));
  if (!isWrapped && names.length === 0) return null;
  if (names.length > 1)
    throw new DermcapError(
      'adapters-several',
      `${keys.peek(`${key}.lora_A.${names[0]}`)!.file}: ${key} has several LoRA adapters: ${listed(names.map(name => name.replace(/\.weight$/, '')))}.`,
      { hint: 'Save the model with one active adapter.' },
    );
  const name = names[0] ?? 'default.weight';
  return {
    base: isWrapped ? `${key}.base_layer` : key,
    a: `${key}.lora_A.${name}`,
    b: `${key}.lora_B.${name}`,
    isPeft: true,
  };
}

/** alpha / r, or alpha / √r (rank-stabilised LoRA, Kalajdzievski 2023). */
function peftScale({ file }: TensorView, key: string, rank: number, adapter: AdapterConfig | null): number {
  if (adapter === null)
    throw new DermcapError(
      'lora-scale-unknown',
      `${file} has LoRA of the PEFT library, whose scale it does not hold.`,
      {
        hint: 'Put the adapter_config.json that PEFT saved beside the checkpoint.',
      },
    );
  const own = Object.entries(adapter.alpha_pattern ?? {}).find(
    ([module]) => key === module || key.endsWith(`.${module}`),
  );
  return (own?.[1] ?? adapter.lora_alpha) / (adapter.use_rslora ? Math.sqrt(rank) : rank);
}
