/** open_clip's own VisionTransformer (DermLIP, OpenAI's and LAION's ViTs), and the blocks its text tower shares. */
import { DermcapError } from '../errors.js';
import type { EncoderBlock } from '../graph/weights.js';
import { KeyLedger } from './keys.js';
import type { OpenClipConfig } from './openClip.js';
import { stored } from './source.js';
import type { SourceLinear, SourcesOf } from './source.js';
import type { StateDict } from './stateDict.js';
import { checkedHeads, countBlocks, ignoreText, vitName } from './vitArchitecture.js';
import type { VitArchitecture } from './vitArchitecture.js';

/** @throws DermcapError `clip-unsupported` | `keys-mismatch` | `heads-unknown` */
export function clipVit(dict: StateDict, config: OpenClipConfig): VitArchitecture {
  const { path, embedding, imageSize, vision, quickGelu } = config;
  if (typeof vision.layers !== 'number')
    throw new DermcapError('clip-unsupported', `${path}: open_clip's ResNet towers are not supported yet.`, {
      hint: 'This version reads vision transformers.',
    });
  const keys = new KeyLedger(dict);
  const tensor = (key: string, ...shape: (number | null)[]) => stored(keys.take(`visual.${key}`, shape));
  const norm = (key: string, size: number): SourceLinear => ({
    weight: tensor(`${key}.weight`, size),
    bias: tensor(`${key}.bias`, size),
  });

  const [width = 0, , patchSize = 0] = keys.peek('visual.conv1.weight')?.shape ?? [];
  const patches = Math.floor(imageSize / (patchSize || 1)) ** 2;
  const layers = countBlocks(dict.tensors.keys(), 'visual.transformer.resblocks');
  const afterPooling = vision.final_ln_after_pool;
  const sources = {
    patch: { weight: tensor('conv1.weight', width, 3, patchSize, patchSize), bias: null },
    classToken: tensor('class_embedding', width),
    positionEmbedding: tensor('positional_embedding', patches + 1, width),
    normPre: keys.has('visual.ln_pre.weight') ? norm('ln_pre', width) : null,
    blocks: residualBlocks(keys, 'visual.transformer.resblocks', layers, width),
    norm: afterPooling ? null : norm('ln_post', width),
    pooledNorm: afterPooling ? norm('ln_post', width) : null,
    head: { layout: 'in-out' as const, weight: tensor('proj', width, embedding) },
  };
  ignoreText(keys);
  keys.close(`open_clip's ${vitName(width, patchSize)} as a vision tower`);

  const hint = 'Put "head_width" into vision_cfg of open_clip_config.json.';
  return {
    name: vitName(width, patchSize),
    sizes: {
      imageSize,
      patchSize,
      width,
      heads: checkedHeads(width / vision.head_width, width, path, hint),
      embedding,
    },
    form: {
      epsilon: vision.norm_kwargs?.eps ?? 1e-5,
      activation: quickGelu ? 'quick-gelu' : 'gelu',
      pooling: vision.pool_type === 'avg' ? 'mean' : 'token',
    },
    layers,
    sources,
    keys: keys.account(),
  };
}

/** open_clip's ResidualAttentionBlocks, with queries, keys and values packed as PyTorch's MultiheadAttention does. */
export function residualBlocks(
  keys: KeyLedger,
  prefix: string,
  layers: number,
  width: number,
): SourcesOf<EncoderBlock>[] {
  const tensor = (key: string, ...shape: (number | null)[]) => stored(keys.take(key, shape));
  const layer = (key: string, ...shape: number[]): SourceLinear => ({
    weight: tensor(`${key}.weight`, ...shape),
    bias: tensor(`${key}.bias`, shape[0]!),
  });
  const mlp = keys.peek(`${prefix}.0.mlp.c_fc.weight`)?.shape[0] ?? 4 * width;
  return Array.from({ length: layers }, (_, n) => {
    const block = `${prefix}.${n}`;
    const scale = (key: string) => (keys.has(key) ? tensor(key, width) : null);
    return {
      norm1: layer(`${block}.ln_1`, width),
      attention: {
        qkv: {
          weight: tensor(`${block}.attn.in_proj_weight`, 3 * width, width),
          bias: tensor(`${block}.attn.in_proj_bias`, 3 * width),
        },
        out: layer(`${block}.attn.out_proj`, width, width),
      },
      scale1: scale(`${block}.ls_1.gamma`),
      norm2: layer(`${block}.ln_2`, width),
      mlp: { up: layer(`${block}.mlp.c_fc`, mlp, width), down: layer(`${block}.mlp.c_proj`, width, mlp) },
      scale2: scale(`${block}.ls_2.gamma`),
    };
  });
}
