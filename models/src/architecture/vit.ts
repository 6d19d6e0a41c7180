/**
 * The vision tower: a folder as on the hub (`open_clip_config.json` and its weights), timm's VisionTransformer
 * inside open_clip's TimmModel. Other towers are refused by name.
 */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { openCheckpoint } from '../checkpoint/open.js';
import { DermcapError } from '../errors.js';
import type { VitSizes, VitWeights } from '../graph/weights.js';
import { existingFile } from './files.js';
import { KeyLedger } from './keys.js';
import type { KeyAccount } from './keys.js';
import { stored } from './source.js';
import type { SourceLinear, SourcesOf } from './source.js';
import { stateDict } from './stateDict.js';

/** In the order open_clip looks for them. */
const WEIGHT_FILES = [
  'open_clip_model.safetensors',
  'open_clip_pytorch_model.safetensors',
  'open_clip_pytorch_model.bin',
  'open_clip_model.bin',
] as const;

/** timm's models whose heads are not 64 wide. */
const KNOWN_HEADS: Record<string, number> = {
  test_vit: 2,
  vit_huge_patch14_224: 16,
  vit_giant_patch14_224: 16,
  vit_gigantic_patch14_224: 16,
};
const DEFAULT_HEAD_SIZE = 64;

/** open_clip's defaults (OPENAI_DATASET_MEAN and _STD) where the configuration is silent. */
const DEFAULT_MEAN = [0.48145466, 0.4578275, 0.40821073];
const DEFAULT_STD = [0.26862954, 0.26130258, 0.27577711];

const Config = z.object({
  model_cfg: z.object({
    embed_dim: z.number().int(),
    vision_cfg: z.looseObject({
      timm_model_name: z.string().optional(),
      timm_pool: z.string().nullish(),
      timm_proj: z.string().nullish(),
      image_size: z.union([z.number().int(), z.tuple([z.number().int(), z.number().int()])]).optional(),
    }),
  }),
  preprocess_cfg: z
    .looseObject({
      mean: z.array(z.number()).length(3).optional(),
      std: z.array(z.number()).length(3).optional(),
      interpolation: z.string().optional(),
      resize_mode: z.string().optional(),
    })
    .default({}),
});

export interface VisionTower {
  folder: string;
  name: string;
  weightsFile: string;
  sizes: VitSizes;
  layers: number;
  mean: number[];
  std: number[];
  sources: SourcesOf<VitWeights>;
  keys: KeyAccount;
}

/** @throws DermcapError `clip-*` naming what is missing or not supported */
export async function openVisionTower(folder: string): Promise<VisionTower> {
  const { name, mean, std, heads, imageSize, embedding } = await readConfig(folder);
  const weightsFile = await existingFile(folder, WEIGHT_FILES);
  if (weightsFile === null)
    throw new DermcapError('clip-weights-missing', `${folder} holds no vision-tower weights.`, {
      hint: `Expected one of: ${WEIGHT_FILES.join(', ')}.`,
    });
  const dict = stateDict(await openCheckpoint(weightsFile));
  const keys = new KeyLedger(dict);
  const tensor = (key: string, ...shape: (number | null)[]) => stored(keys.take(`visual.${key}`, shape));
  const layer = (key: string, ...shape: number[]): SourceLinear => ({
    weight: tensor(`${key}.weight`, ...shape),
    bias: tensor(`${key}.bias`, shape[0]!),
  });

  const [width = 0, , patchSize = 0] = keys.peek('visual.trunk.patch_embed.proj.weight')?.shape ?? [];
  const grid = Math.floor(imageSize / (patchSize || 1));
  const layers = countBlocks(dict.tensors.keys());
  const mlp = keys.peek('visual.trunk.blocks.0.mlp.fc1.weight')?.shape[0] ?? 4 * width;
  const sources: SourcesOf<VitWeights> = {
    patch: layer('trunk.patch_embed.proj', width, 3, patchSize, patchSize),
    classToken: tensor('trunk.cls_token', 1, 1, width),
    positionEmbedding: tensor('trunk.pos_embed', 1, grid * grid + 1, width),
    blocks: Array.from({ length: layers }, (_, n) => {
      const block = `trunk.blocks.${n}`;
      return {
        norm1: layer(`${block}.norm1`, width),
        attention: {
          qkv: layer(`${block}.attn.qkv`, 3 * width, width),
          out: layer(`${block}.attn.proj`, width, width),
        },
        norm2: layer(`${block}.norm2`, width),
        mlp: { up: layer(`${block}.mlp.fc1`, mlp, width), down: layer(`${block}.mlp.fc2`, width, mlp) },
      };
    }),
    norm: layer('trunk.norm', width),
    head: tensor('head.proj.weight', embedding, width),
  };
  keys.ignore(/^text\./, 'text tower, not used for captions');
  keys.ignore(/^logit_(scale|bias)$/, 'contrastive temperature, not used for captions');
  keys.close(`timm's ${name} as a vision tower`);

  const headCount = heads ?? width / DEFAULT_HEAD_SIZE;
  if (!Number.isInteger(headCount) || width % headCount !== 0)
    throw new DermcapError(
      'heads-unknown',
      `${folder}: the attention heads of ${name} (width ${width}) are not known.`,
      { hint: 'Put "timm_model_kwargs": {"num_heads": N} into vision_cfg of open_clip_config.json.' },
    );
  return {
    folder,
    name,
    weightsFile: dict.file,
    sizes: { imageSize, patchSize, width, heads: headCount, embedding },
    layers,
    mean,
    std,
    sources,
    keys: keys.account(),
  };
}

async function readConfig(folder: string): Promise<{
  name: string;
  mean: number[];
  std: number[];
  heads: number | undefined;
  imageSize: number;
  embedding: number;
}> {
  const path = join(folder, 'open_clip_config.json');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new DermcapError('clip-config-missing', `${folder} holds no open_clip_config.json.`, {
      hint: 'Name the folder of the vision tower as downloaded from the hub (--clip DIR).',
      cause,
    });
  }
  const parsed = Config.safeParse(parseJson(path, text));
  if (!parsed.success)
    throw new DermcapError('clip-config-invalid', `${path}: ${z.prettifyError(parsed.error)}`);
  const { vision_cfg: vision } = parsed.data.model_cfg;
  const name = vision.timm_model_name;
  if (name === undefined || !/^(vit_|test_vit)/.test(name))
    throw new DermcapError(
      'clip-unsupported',
      `${basename(folder)}: the vision tower ${name ?? '(not from timm)'} is not supported yet.`,
      { hint: "This version reads timm's plain vision transformers (BiomedCLIP's ViT-B/16 and its sizes)." },
    );
  // open_clip pools by the mean where the configuration is silent; null leaves timm's own, the class token.
  const pool = vision.timm_pool === undefined ? 'avg' : (vision.timm_pool ?? '');
  if (pool !== '' && pool !== 'token')
    throw new DermcapError('clip-unsupported', `${path}: timm_pool "${pool}" is not supported yet.`);
  if ((vision.timm_proj ?? 'linear') !== 'linear')
    throw new DermcapError(
      'clip-unsupported',
      `${path}: timm_proj "${vision.timm_proj}" is not supported yet.`,
    );
  const size = vision.image_size ?? 224;
  const [height, width] = typeof size === 'number' ? [size, size] : size;
  if (height !== width)
    throw new DermcapError(
      'clip-unsupported',
      `${path}: images of ${width}×${height} are not supported yet.`,
    );
  const preprocess = parsed.data.preprocess_cfg;
  if (
    (preprocess.interpolation ?? 'bicubic') !== 'bicubic' ||
    (preprocess.resize_mode ?? 'shortest') !== 'shortest'
  )
    throw new DermcapError(
      'clip-unsupported',
      `${path}: only bicubic interpolation with resize mode "shortest" is supported.`,
    );
  const kwargs = vision['timm_model_kwargs'] as { num_heads?: unknown } | undefined;
  return {
    name,
    imageSize: height,
    embedding: parsed.data.model_cfg.embed_dim,
    mean: preprocess.mean ?? DEFAULT_MEAN,
    std: preprocess.std ?? DEFAULT_STD,
    heads: typeof kwargs?.num_heads === 'number' ? kwargs.num_heads : KNOWN_HEADS[name.split('.')[0]!],
  };
}

export function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (cause) {
    throw new DermcapError('json-invalid', `${path} is not valid JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
}

function countBlocks(keys: Iterable<string>): number {
  let count = 0;
  for (const key of keys) {
    const number = /^visual\.trunk\.blocks\.(\d+)\./.exec(key)?.[1];
    if (number !== undefined) count = Math.max(count, Number(number) + 1);
  }
  return count;
}
