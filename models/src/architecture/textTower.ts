/**
 * The text tower beside a vision tower, for CLIP scores: BERT in open_clip's HFTextEncoder (BiomedCLIP), open_clip's own
 * text transformer (DermLIP), transformers' CLIPTextModel (PubMedCLIP). Opened apart from the vision tower, as captions
 * need none.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { openCheckpoint } from '../checkpoint/open.js';
import { DermcapError } from '../errors.js';
import type { BertTextWeights, ClipTextWeights, EncoderForm } from '../graph/weights.js';
import { residualBlocks } from './clipVit.js';
import { isFile, readJsonObject, snapshotOf } from './files.js';
import { HF_ACTIVATIONS, encoderLayers, readHfClip } from './hfClip.js';
import type { HfClipConfig } from './hfClip.js';
import { KeyLedger } from './keys.js';
import type { KeyAccount } from './keys.js';
import { OPEN_CLIP_CONFIG, openClipText, openClipWeights, readOpenClipConfig } from './openClip.js';
import type { OpenClipConfig } from './openClip.js';
import { stored } from './source.js';
import type { SourceLinear, SourcesOf } from './source.js';
import { stateDict } from './stateDict.js';
import type { StateDict } from './stateDict.js';
import { towerLibrary } from './tower.js';
import { checkedHeads, countBlocks } from './vitArchitecture.js';

export interface TextForm extends EncoderForm {
  heads: number;
  embedding: number;
}

/** What an open text tower is, whichever graph it takes. */
interface TextTowerCommon {
  folder: string;
  weightsFile: string;
  form: TextForm;
  layers: number;
  /** Most tokens of a text, begin and end included. */
  maxTokens: number;
  keys: KeyAccount;
}

export interface BertTower extends TextTowerCommon {
  kind: 'bert';
  sources: SourcesOf<BertTextWeights>;
}

export interface ClipTextTower extends TextTowerCommon {
  kind: 'clip';
  sources: SourcesOf<ClipTextWeights>;
  /** The first token with this id is pooled; null: the first with the largest id of the text. */
  endOfText: number | null;
  /** Whether open_clip's cleaning and lower case come before the tokenizer. */
  cleaned: boolean;
}

export type TextTower = BertTower | ClipTextTower;

/** transformers' BertConfig where a `config.json` of BERT lies in the folder; its defaults, and heads of 64, otherwise. */
const BertConfig = z.looseObject({
  model_type: z.literal('bert'),
  num_attention_heads: z.number().int().optional(),
  hidden_act: z.enum(['gelu', 'gelu_new', 'relu']).default('gelu'),
  layer_norm_eps: z.number().default(1e-12),
  position_embedding_type: z.literal('absolute').default('absolute'),
});
const DEFAULT_HEAD_SIZE = 64;

/** @throws DermcapError `clip-*` | `keys-mismatch` | `heads-unknown` naming what is missing or not supported */
export async function openTextTower(clipDir: string): Promise<TextTower> {
  const folder = await snapshotOf(clipDir);
  const library = await towerLibrary(folder);
  if (library === 'transformers') {
    const { config, weightsFile } = await readHfClip(folder);
    return hfText(folder, stateDict(await openCheckpoint(weightsFile)), config);
  }
  if (library === null)
    throw new DermcapError('clip-config-missing', `${folder} holds no ${OPEN_CLIP_CONFIG}.`, {
      hint: 'Name the folder of the vision and text tower as downloaded from the hub (--clip DIR).',
    });
  const config = await readOpenClipConfig(folder);
  const dict = stateDict(await openCheckpoint(await openClipWeights(folder)));
  return openClipText(config).hf_model_name
    ? bertText(folder, dict, config)
    : openClipOwnText(folder, dict, config);
}

/** open_clip's TextTransformer, at the top of a CLIP or under `text.` of a CustomTextCLIP. */
function openClipOwnText(folder: string, dict: StateDict, config: OpenClipConfig): ClipTextTower {
  const text = openClipText(config);
  const keys = new KeyLedger(dict);
  const root = keys.has('text.token_embedding.weight') ? 'text.' : '';
  const tokenEmbedding = keys.take(`${root}token_embedding.weight`, [null, null]);
  const width = tokenEmbedding.shape[1]!;
  const layers = countBlocks(dict.tensors.keys(), `${root}transformer.resblocks`);
  const sources: ClipTextTower['sources'] = {
    tokenEmbedding: stored(tokenEmbedding),
    positionEmbedding: stored(keys.take(`${root}positional_embedding`, [text.context_length, width])),
    blocks: residualBlocks(keys, `${root}transformer.resblocks`, layers, width),
    finalNorm: norm(keys, `${root}ln_final`, width),
    head: {
      layout: 'in-out',
      weight: stored(keys.take(`${root}text_projection`, [width, config.embedding])),
    },
  };
  keys.ignore(/(^|\.)attn_mask$/, 'causal mask');
  ignoreVision(keys);
  keys.close("open_clip's text transformer");
  return {
    kind: 'clip',
    folder,
    weightsFile: dict.file,
    form: {
      heads: checkedHeads(text.heads, width, config.path, 'Set "heads" in text_cfg.'),
      embedding: config.embedding,
      epsilon: text.norm_kwargs?.eps ?? 1e-5,
      activation: config.quickGelu ? 'quick-gelu' : 'gelu',
    },
    layers,
    maxTokens: text.context_length,
    endOfText: null,
    cleaned: true,
    sources,
    keys: keys.account(),
  };
}

/** transformers' CLIPTextModel with its projection. */
function hfText(folder: string, dict: StateDict, { text_config: config }: HfClipConfig): ClipTextTower {
  const keys = new KeyLedger(dict);
  const at = (key: string) => `text_model.${key}`;
  const tokenEmbedding = keys.take(at('embeddings.token_embedding.weight'), [null, null]);
  const width = tokenEmbedding.shape[1]!;
  const positions = keys.take(at('embeddings.position_embedding.weight'), [null, width]);
  const projection = keys.take('text_projection.weight', [null, width]);
  const layers = countBlocks(dict.tensors.keys(), at('encoder.layers'));
  const sources: ClipTextTower['sources'] = {
    tokenEmbedding: stored(tokenEmbedding),
    positionEmbedding: stored(positions),
    blocks: encoderLayers(keys, at('encoder.layers'), layers, width),
    finalNorm: norm(keys, at('final_layer_norm'), width),
    head: { layout: 'out-in', weight: stored(projection) },
  };
  keys.ignore(/\.position_ids$/, 'buffer that old versions of transformers saved');
  ignoreVision(keys);
  keys.close("transformers' CLIPTextModel");
  const hint = 'Set num_attention_heads in text_config of config.json.';
  return {
    kind: 'clip',
    folder,
    weightsFile: dict.file,
    form: {
      heads: checkedHeads(config.num_attention_heads, width, dict.file, hint),
      embedding: projection.shape[0]!,
      epsilon: config.layer_norm_eps,
      activation: HF_ACTIVATIONS[config.hidden_act]!,
    },
    layers,
    maxTokens: positions.shape[0]!,
    // Configurations from before transformers 4.31 say 2, which meant the largest id.
    endOfText: config.eos_token_id === 2 ? null : config.eos_token_id,
    cleaned: false,
    sources,
    keys: keys.account(),
  };
}

/** BERT in open_clip's HFTextEncoder. */
async function bertText(folder: string, dict: StateDict, config: OpenClipConfig): Promise<BertTower> {
  const text = openClipText(config);
  if (text.hf_pooler_type !== 'cls_last_hidden_state_pooler')
    throw new DermcapError(
      'clip-unsupported',
      `${config.path}: the pooling of texts "${text.hf_pooler_type}" is not supported yet.`,
    );
  const keys = new KeyLedger(dict);
  const at = (key: string) => `text.transformer.${key}`;
  if (!keys.has(at('embeddings.word_embeddings.weight')))
    throw new DermcapError(
      'clip-unsupported',
      `${config.path}: the text tower ${text.hf_model_name} is no BERT.`,
      {
        hint: 'This version reads text towers of BERT and of CLIP.',
      },
    );
  const layer = (key: string, outputs: number, inputs: number): SourceLinear => ({
    weight: stored(keys.take(`${key}.weight`, [outputs, inputs])),
    bias: stored(keys.take(`${key}.bias`, [outputs])),
  });
  const words = keys.take(at('embeddings.word_embeddings.weight'), [null, null]);
  const width = words.shape[1]!;
  const layers = countBlocks(dict.tensors.keys(), at('encoder.layer'));
  const mlp = keys.peek(at('encoder.layer.0.intermediate.dense.weight'))?.shape[0] ?? 4 * width;
  const sources: BertTower['sources'] = {
    tokenEmbedding: stored(words),
    positionEmbedding: stored(keys.take(at('embeddings.position_embeddings.weight'), [null, width])),
    typeEmbedding: stored(keys.take(at('embeddings.token_type_embeddings.weight'), [null, width])),
    embeddingNorm: norm(keys, at('embeddings.LayerNorm'), width),
    blocks: Array.from({ length: layers }, (_, n) => {
      const block = at(`encoder.layer.${n}`);
      const square = (key: string) => layer(`${block}.attention.${key}`, width, width);
      return {
        attention: {
          query: square('self.query'),
          key: square('self.key'),
          value: square('self.value'),
          out: square('output.dense'),
        },
        norm1: norm(keys, `${block}.attention.output.LayerNorm`, width),
        mlp: {
          up: layer(`${block}.intermediate.dense`, mlp, width),
          down: layer(`${block}.output.dense`, width, mlp),
        },
        norm2: norm(keys, `${block}.output.LayerNorm`, width),
      };
    }),
    projection: projection(keys, config, text.hf_proj_type, width),
  };
  keys.ignore(/\.position_ids$/, 'buffer that old versions of transformers saved');
  keys.ignore(/^text\.transformer\.pooler\./, "BERT's own pooling, which open_clip does not use");
  ignoreVision(keys);
  keys.close("BERT as open_clip's text tower");

  const bert = await bertConfig(folder);
  const hint = "Put BERT's config.json with num_attention_heads into the folder.";
  return {
    kind: 'bert',
    folder,
    weightsFile: dict.file,
    form: {
      heads: checkedHeads(bert?.num_attention_heads ?? width / DEFAULT_HEAD_SIZE, width, dict.file, hint),
      embedding: config.embedding,
      epsilon: bert?.layer_norm_eps ?? 1e-12,
      activation: HF_ACTIVATIONS[bert?.hidden_act ?? 'gelu']!,
    },
    layers,
    maxTokens: text.context_length,
    sources,
    keys: keys.account(),
  };
}

/** `proj`: two layers with GELU between, one, or none where the widths are equal. */
function projection(
  keys: KeyLedger,
  { path, embedding }: OpenClipConfig,
  type: string | null | undefined,
  width: number,
): SourcesOf<BertTextWeights['projection']> {
  const head = (key: string, outputs: number, inputs: number) => ({
    layout: 'out-in' as const,
    weight: stored(keys.take(`text.proj.${key}weight`, [outputs, inputs])),
  });
  const kind = type === undefined ? 'mlp' : type;
  const hidden = Math.floor((width + embedding) / 2);
  if (kind === 'mlp') return [head('0.', hidden, width), head('2.', embedding, hidden)];
  if (kind === 'linear') return [head('', embedding, width)];
  if (!kind && width === embedding) return [];
  throw new DermcapError('clip-unsupported', `${path}: hf_proj_type "${kind}" is not supported.`);
}

async function bertConfig(folder: string): Promise<z.infer<typeof BertConfig> | null> {
  const path = join(folder, 'config.json');
  if (!(await isFile(path))) return null;
  const value = await readJsonObject(path);
  if (value['model_type'] !== 'bert') return null;
  const { data, error } = BertConfig.safeParse(value);
  if (error) throw new DermcapError('clip-config-invalid', `${path}: ${z.prettifyError(error)}`);
  return data;
}

function norm(keys: KeyLedger, key: string, size: number): SourceLinear {
  return {
    weight: stored(keys.take(`${key}.weight`, [size])),
    bias: stored(keys.take(`${key}.bias`, [size])),
  };
}

function ignoreVision(keys: KeyLedger): void {
  keys.ignore(/^(visual|vision_model|visual_projection)\./, 'vision tower, not used for texts');
  keys.ignore(/^logit_(scale|bias)$/, 'contrastive temperature, not used for embeddings');
}
