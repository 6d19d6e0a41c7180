/** timm's VisionTransformer inside open_clip's TimmModel: tensors, and what its name alone tells. */
import { DermcapError } from '../errors.js';
import type { VitForm } from '../graph/weights.js';
import { KeyLedger } from './keys.js';
import type { OpenClipConfig } from './openClip.js';
import { stored } from './source.js';
import type { SourceLinear } from './source.js';
import type { StateDict } from './stateDict.js';
import { checkedHeads, countBlocks, ignoreText } from './vitArchitecture.js';
import type { VitArchitecture } from './vitArchitecture.js';

const DEFAULT_HEAD_SIZE = 64;

/** timm's models whose heads are not 64 wide (timm 1.0, `vision_transformer.py`). */
const KNOWN_HEADS: readonly [RegExp, number][] = [
  [/^test_vit$/, 2],
  [/^vit_(huge|giant|giantopt|gigantic|so400m)_/, 16],
  [/^vit_base_patch16_gap_224$/, 16],
];

/** timm's SigLIP models with the tanh form of GELU and mean pooling. */
const GELU_TANH =
  /^vit_(base_patch32_siglip_gap_256|large_patch16_siglip_gap_512|(so400m|giantopt)_patch16_siglip_gap_\d+)$/;

/** @throws DermcapError `clip-unsupported` | `keys-mismatch` | `heads-unknown` */
export function timmVit(dict: StateDict, config: OpenClipConfig): VitArchitecture {
  const { path, embedding, imageSize, vision } = config;
  const name = vision.timm_model_name!;
  if (!/^(vit_|deit_|deit3_|test_vit$)/.test(name))
    throw new DermcapError('clip-unsupported', `${path}: the vision tower ${name} is not supported yet.`, {
      hint: "This version reads timm's plain vision transformers (vit_tiny to vit_gigantic, deit).",
    });
  if ((vision.timm_proj ?? 'linear') !== 'linear')
    throw new DermcapError(
      'clip-unsupported',
      `${path}: timm_proj "${vision.timm_proj}" is not supported yet.`,
    );

  const keys = new KeyLedger(dict);
  const at = (key: string) => `visual.trunk.${key}`;
  const has = (key: string) => keys.has(at(key));
  const tensor = (key: string, ...shape: (number | null)[]) => stored(keys.take(at(key), shape));
  const layer = (key: string, ...shape: number[]): SourceLinear => ({
    weight: tensor(`${key}.weight`, ...shape),
    bias: tensor(`${key}.bias`, shape[0]!),
  });

  const [width = 0, , patchSize = 0] = keys.peek(at('patch_embed.proj.weight'))?.shape ?? [];
  const patches = Math.floor(imageSize / (patchSize || 1)) ** 2;
  const layers = countBlocks(dict.tensors.keys(), at('blocks'));
  const mlp = keys.peek(at('blocks.0.mlp.fc1.weight'))?.shape[0] ?? 4 * width;
  const hasClassToken = has('cls_token');
  // Some models add positions to the patches alone, before the class token joins them.
  const positions =
    keys.peek(at('pos_embed'))?.shape[1] === patches ? patches : patches + (hasClassToken ? 1 : 0);
  const sources = {
    patch: {
      weight: tensor('patch_embed.proj.weight', width, 3, patchSize, patchSize),
      bias: has('patch_embed.proj.bias') ? tensor('patch_embed.proj.bias', width) : null,
    },
    classToken: hasClassToken ? tensor('cls_token', 1, 1, width) : null,
    positionEmbedding: tensor('pos_embed', 1, positions, width),
    normPre: has('norm_pre.weight') ? layer('norm_pre', width) : null,
    blocks: Array.from({ length: layers }, (_, n) => {
      const block = `blocks.${n}`;
      const scale = (key: string) => (has(key) ? tensor(key, width) : null);
      return {
        norm1: layer(`${block}.norm1`, width),
        attention: {
          qkv: layer(`${block}.attn.qkv`, 3 * width, width),
          out: layer(`${block}.attn.proj`, width, width),
        },
        scale1: scale(`${block}.ls1.gamma`),
        norm2: layer(`${block}.norm2`, width),
        mlp: { up: layer(`${block}.mlp.fc1`, mlp, width), down: layer(`${block}.mlp.fc2`, width, mlp) },
        scale2: scale(`${block}.ls2.gamma`),
      };
    }),
    // timm normalises either every token or what was pooled of them.
    norm: has('fc_norm.weight') ? null : layer('norm', width),
    pooledNorm: has('fc_norm.weight') ? layer('fc_norm', width) : null,
    head: {
      layout: 'out-in' as const,
      weight: stored(keys.take('visual.head.proj.weight', [embedding, width])),
    },
  };
  ignoreText(keys);
  keys.close(`timm's ${name} as a vision tower`);

  const model = name.split('.')[0]!;
  const known = KNOWN_HEADS.find(([pattern]) => pattern.test(model))?.[1];
  const heads = vision.timm_model_kwargs?.num_heads ?? known ?? width / DEFAULT_HEAD_SIZE;
  const hint = 'Put "timm_model_kwargs": {"num_heads": N} into vision_cfg of open_clip_config.json.';
  return {
    name,
    sizes: { imageSize, patchSize, width, heads: checkedHeads(heads, width, path, hint), embedding },
    form: {
      // CLIP's models keep PyTorch's epsilon; the others have timm's.
      epsilon: model.includes('_clip_') ? 1e-5 : 1e-6,
      activation: model.includes('_quickgelu_') ? 'quick-gelu' : GELU_TANH.test(model) ? 'gelu-tanh' : 'gelu',
      pooling: poolingOf(path, vision.timm_pool, hasClassToken),
    },
    layers,
    sources,
    keys: keys.account(),
  };
}

/** open_clip pools by the mean where the configuration is silent; null and "" leave the model's own pooling. */
function poolingOf(
  path: string,
  pool: string | null | undefined,
  hasClassToken: boolean,
): VitForm['pooling'] {
  const asked = pool === undefined ? 'avg' : (pool ?? '');
  if (asked === '') return hasClassToken ? 'token' : 'mean';
  if (asked === 'avg') return 'mean';
  if (asked === 'token' && hasClassToken) return 'token';
  throw new DermcapError('clip-unsupported', `${path}: timm_pool "${pool}" is not supported for this model.`);
}
