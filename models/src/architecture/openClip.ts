/** open_clip's `open_clip_config.json`, with its defaults where it is silent, and the weights beside it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { DermcapError } from '../errors.js';
import { existingFile, parseJson } from './files.js';
import type { PreprocessConfig } from './vitArchitecture.js';

export const OPEN_CLIP_CONFIG = 'open_clip_config.json';

/** In the order open_clip looks for them. */
export const OPEN_CLIP_WEIGHTS = [
  'open_clip_model.safetensors',
  'open_clip_pytorch_model.safetensors',
  'open_clip_pytorch_model.bin',
  'open_clip_model.bin',
] as const;

/** OPENAI_DATASET_MEAN and _STD. */
export const CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073];
export const CLIP_STD = [0.26862954, 0.26130258, 0.27577711];

/** Settings of open_clip's own transformers that change the computation; only these values are computed here. */
const PLAIN_BLOCKS = {
  block_type: z.enum(['default', 'custom']).nullish(),
  qk_norm: z.literal(false).optional(),
  scaled_cosine_attn: z.literal(false).optional(),
  scale_heads: z.literal(false).optional(),
  scale_attn_inner: z.literal(false).optional(),
  scale_attn: z.literal(false).optional(),
  scale_fc: z.literal(false).optional(),
  norm_kwargs: z.looseObject({ eps: z.number().optional() }).nullish(),
  act_kwargs: z.null().optional(),
};

const VisionConfig = z.looseObject({
  timm_model_name: z.string().nullish(),
  timm_pool: z.string().nullish(),
  timm_proj: z.string().nullish(),
  timm_proj_bias: z.literal(false).optional(),
  timm_model_kwargs: z.looseObject({ num_heads: z.number().int().optional() }).nullish(),
  image_size: z.union([z.number().int(), z.tuple([z.number().int(), z.number().int()])]).default(224),
  layers: z.union([z.number().int(), z.array(z.number().int())]).default(12),
  head_width: z.number().int().default(64),
  attentional_pool: z.literal(false).optional(),
  final_ln_after_pool: z.boolean().default(false),
  pool_type: z.enum(['tok', 'avg']).default('tok'),
  ...PLAIN_BLOCKS,
});

const TextConfig = z.looseObject({
  context_length: z.number().int().default(77),
  heads: z.number().int().default(8),
  hf_model_name: z.string().nullish(),
  hf_proj_type: z.string().nullish(),
  hf_pooler_type: z.string().default('mean_pooler'),
  no_causal_mask: z.literal(false).optional(),
  embed_cls: z.literal(false).optional(),
  pool_type: z.literal('argmax').default('argmax'),
  ...PLAIN_BLOCKS,
});

const Config = z.object({
  model_cfg: z.object({
    embed_dim: z.number().int(),
    quick_gelu: z.boolean().default(false),
    vision_cfg: VisionConfig,
    text_cfg: z.unknown().optional(),
  }),
  preprocess_cfg: z
    .looseObject({
      mean: z.array(z.number()).length(3).default(CLIP_MEAN),
      std: z.array(z.number()).length(3).default(CLIP_STD),
      interpolation: z.string().default('bicubic'),
      resize_mode: z.string().default('shortest'),
    })
    .prefault({}),
});

export interface OpenClipConfig extends PreprocessConfig {
  path: string;
  embedding: number;
  /** Of open_clip's own transformers; timm's and BERT's do not heed it. */
  quickGelu: boolean;
  vision: z.infer<typeof VisionConfig>;
  /** Not read for captions: see {@link openClipText}. */
  text: unknown;
}

/** @throws DermcapError `clip-config-invalid` | `clip-unsupported` naming the setting */
export async function readOpenClipConfig(folder: string): Promise<OpenClipConfig> {
  const path = join(folder, OPEN_CLIP_CONFIG);
  const { model_cfg: model, preprocess_cfg: preprocess } = parse(
    path,
    Config,
    parseJson(path, await readFile(path, 'utf8')),
  );
  const size = model.vision_cfg.image_size;
  const [height, width] = typeof size === 'number' ? [size, size] : size;
  if (height !== width)
    throw new DermcapError(
      'clip-unsupported',
      `${path}: images of ${width}×${height} are not supported yet.`,
    );
  if (preprocess.interpolation !== 'bicubic' || preprocess.resize_mode !== 'shortest')
    throw new DermcapError(
      'clip-unsupported',
      `${path}: only bicubic interpolation with resize mode "shortest" is supported.`,
    );
  return {
    path,
    embedding: model.embed_dim,
    quickGelu: model.quick_gelu,
    vision: model.vision_cfg,
    text: model.text_cfg,
    imageSize: height,
    mean: preprocess.mean,
    std: preprocess.std,
    centre: 'even',
  };
}

/** The text half of the configuration. @throws DermcapError `clip-config-invalid` naming the setting */
export function openClipText({ path, text }: OpenClipConfig): z.infer<typeof TextConfig> {
  return parse(path, TextConfig, text ?? {});
}

/** @throws DermcapError `clip-weights-missing` */
export async function openClipWeights(folder: string): Promise<string> {
  const file = await existingFile(folder, OPEN_CLIP_WEIGHTS);
  if (file !== null) return file;
  throw new DermcapError('clip-weights-missing', `${folder} holds no vision-tower weights.`, {
    hint: `Expected one of: ${OPEN_CLIP_WEIGHTS.join(', ')}.`,
  });
}

function parse<T extends z.ZodType>(path: string, schema: T, value: unknown): z.infer<T> {
  const { data, error } = schema.safeParse(value);
  if (error) throw new DermcapError('clip-config-invalid', `${path}: ${z.prettifyError(error)}`);
  return data;
}
