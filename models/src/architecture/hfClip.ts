/** transformers' CLIPModel (PubMedCLIP, OpenAI's CLIP on the hub): configuration, preprocessing and vision tower. */
import { join } from 'node:path';
import { z } from 'zod';
import { DermcapError } from '../errors.js';
import type { EncoderBlock, EncoderForm } from '../graph/weights.js';
import { existingFile, isFile, readJsonObject } from './files.js';
import { KeyLedger } from './keys.js';
import { CLIP_MEAN, CLIP_STD } from './openClip.js';
import { stored } from './source.js';
import type { SourceLinear, SourcesOf } from './source.js';
import type { StateDict } from './stateDict.js';
import { checkedHeads, countBlocks, ignoreText, vitName } from './vitArchitecture.js';
import type { PreprocessConfig, VitArchitecture } from './vitArchitecture.js';

export const HF_CLIP_CONFIG = 'config.json';
const HF_CLIP_PREPROCESSOR = 'preprocessor_config.json';

/** In the order transformers looks for them. */
export const HF_CLIP_WEIGHTS = ['model.safetensors', 'pytorch_model.bin'] as const;

/** PIL.Image.Resampling.BICUBIC */
const BICUBIC = 3;

/** By their names in configurations. */
export const HF_ACTIVATIONS: Record<string, EncoderForm['activation']> = {
  quick_gelu: 'quick-gelu',
  gelu: 'gelu',
  gelu_new: 'gelu-tanh',
  gelu_pytorch_tanh: 'gelu-tanh',
  relu: 'relu',
};

/** Defaults are those of transformers' CLIPVisionConfig and CLIPTextConfig; sizes are read off the tensors. */
const encoder = (heads: number) => ({
  num_attention_heads: z.number().int().default(heads),
  hidden_act: z.enum(['quick_gelu', 'gelu', 'gelu_new', 'gelu_pytorch_tanh', 'relu']).default('quick_gelu'),
  layer_norm_eps: z.number().default(1e-5),
});
const Config = z.looseObject({
  vision_config: z.looseObject({ ...encoder(12), image_size: z.number().int().default(224) }).prefault({}),
  text_config: z
    .looseObject({ ...encoder(8), eos_token_id: z.number().int().nullable().default(49407) })
    .prefault({}),
});
export type HfClipConfig = z.infer<typeof Config>;

/** Old files name the size by one number, newer ones by its sides. */
const Size = z.union([
  z.number().int(),
  z.object({ shortest_edge: z.number().int() }).transform(size => size.shortest_edge),
  z
    .object({ height: z.number().int(), width: z.number().int() })
    .refine(({ height, width }) => height === width, 'only squares are supported')
    .transform(size => size.height),
]);
const Preprocessor = z.looseObject({
  size: Size.default(224),
  crop_size: Size.default(224),
  do_resize: z.literal(true).default(true),
  do_center_crop: z.literal(true).default(true),
  do_rescale: z.literal(true).default(true),
  do_normalize: z.literal(true).default(true),
  resample: z.literal(BICUBIC, 'only bicubic resampling (3) is supported').default(BICUBIC),
  image_mean: z.array(z.number()).length(3).default(CLIP_MEAN),
  image_std: z.array(z.number()).length(3).default(CLIP_STD),
});

/** Whether a folder's `config.json` is a CLIP model's. */
export async function isHfClip(folder: string): Promise<boolean> {
  const path = join(folder, HF_CLIP_CONFIG);
  if (!(await isFile(path))) return false;
  const config = await readJsonObject(path);
  return config['model_type'] === 'clip' || 'vision_config' in config;
}

/** @throws DermcapError `clip-config-invalid` | `clip-weights-missing` | `clip-unsupported` */
export async function readHfClip(
  folder: string,
): Promise<PreprocessConfig & { config: HfClipConfig; weightsFile: string }> {
  const config = await read(join(folder, HF_CLIP_CONFIG), Config);
  const weightsFile = await existingFile(folder, HF_CLIP_WEIGHTS);
  if (weightsFile === null)
    throw new DermcapError('clip-weights-missing', `${folder} holds no vision-tower weights.`, {
      hint: `Expected one of: ${HF_CLIP_WEIGHTS.join(', ')}.`,
    });
  const path = join(folder, HF_CLIP_PREPROCESSOR);
  if (!(await isFile(path)))
    throw new DermcapError('clip-config-missing', `${folder} holds no ${HF_CLIP_PREPROCESSOR}.`, {
      hint: 'It lies beside config.json on the hub and says how pictures are normalised.',
    });
  const preprocess = await read(path, Preprocessor);
  const { image_size: imageSize } = config.vision_config;
  if (preprocess.size !== imageSize || preprocess.crop_size !== imageSize)
    throw new DermcapError(
      'clip-unsupported',
      `${path}: resizing to ${preprocess.size} and cutting out ${preprocess.crop_size} pixels is not supported, ` +
        `as the tower takes ${imageSize}.`,
    );
  const { image_mean: mean, image_std: std } = preprocess;
  return { config, weightsFile, imageSize, mean, std, centre: 'first' };
}

/** @throws DermcapError `keys-mismatch` | `heads-unknown` */
export function hfVision(dict: StateDict, config: HfClipConfig): VitArchitecture {
  const keys = new KeyLedger(dict);
  const at = (key: string) => `vision_model.${key}`;
  const tensor = (key: string, ...shape: (number | null)[]) => stored(keys.take(at(key), shape));
  const norm = (key: string, size: number): SourceLinear => ({
    weight: tensor(`${key}.weight`, size),
    bias: tensor(`${key}.bias`, size),
  });

  const {
    image_size: imageSize,
    num_attention_heads: heads,
    layer_norm_eps: epsilon,
    hidden_act,
  } = config.vision_config;
  const [width = 0, , patchSize = 0] = keys.peek(at('embeddings.patch_embedding.weight'))?.shape ?? [];
  const patches = Math.floor(imageSize / (patchSize || 1)) ** 2;
  const layers = countBlocks(dict.tensors.keys(), at('encoder.layers'));
  const projection = keys.take('visual_projection.weight', [null, width]);
  const sources = {
    patch: {
      weight: tensor('embeddings.patch_embedding.weight', width, 3, patchSize, patchSize),
      bias: null,
    },
    classToken: tensor('embeddings.class_embedding', width),
    positionEmbedding: tensor('embeddings.position_embedding.weight', patches + 1, width),
    normPre: norm('pre_layrnorm', width),
    blocks: encoderLayers(keys, at('encoder.layers'), layers, width),
    norm: null,
    pooledNorm: norm('post_layernorm', width),
    head: { layout: 'out-in' as const, weight: stored(projection) },
  };
  keys.ignore(/^vision_model\.embeddings\.position_ids$/, 'buffer that old versions of transformers saved');
  ignoreText(keys);
  keys.close(`transformers' CLIPModel as a vision tower`);
  return {
    name: vitName(width, patchSize),
    sizes: {
      imageSize,
      patchSize,
      width,
      heads: checkedHeads(heads, width, dict.file, `Set num_attention_heads in ${HF_CLIP_CONFIG}.`),
      embedding: projection.shape[0]!,
    },
    form: { epsilon, activation: HF_ACTIVATIONS[hidden_act]!, pooling: 'token' },
    layers,
    sources,
    keys: keys.account(),
  };
}

/** transformers' CLIPEncoderLayers. */
export function encoderLayers(
  keys: KeyLedger,
  prefix: string,
  layers: number,
  width: number,
): SourcesOf<EncoderBlock>[] {
  const layer = (key: string, ...shape: number[]): SourceLinear => ({
    weight: stored(keys.take(`${key}.weight`, shape)),
    bias: stored(keys.take(`${key}.bias`, [shape[0]!])),
  });
  const mlp = keys.peek(`${prefix}.0.mlp.fc1.weight`)?.shape[0] ?? 4 * width;
  return Array.from({ length: layers }, (_, n) => {
    const block = `${prefix}.${n}`;
    const square = (key: string) => layer(`${block}.self_attn.${key}`, width, width);
    return {
      norm1: layer(`${block}.layer_norm1`, width),
      attention: {
        query: square('q_proj'),
        key: square('k_proj'),
        value: square('v_proj'),
        out: square('out_proj'),
      },
      scale1: null,
      norm2: layer(`${block}.layer_norm2`, width),
      mlp: { up: layer(`${block}.mlp.fc1`, mlp, width), down: layer(`${block}.mlp.fc2`, width, mlp) },
      scale2: null,
    };
  });
}

async function read<T extends z.ZodType>(path: string, schema: T): Promise<z.infer<T>> {
  const { data, error } = schema.safeParse(await readJsonObject(path));
  if (error) throw new DermcapError('clip-config-invalid', `${path}: ${z.prettifyError(error)}`);
  return data;
}
