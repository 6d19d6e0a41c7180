/**
 * A release: a folder with `best_stageA.pt`, `best_stageB.pt`, `final_captioner_*.pt` and `.json`, an optional
 * `config.json` (GPT-2's), an optional `tokenizer.json` and an optional adapter of PEFT; or one checkpoint by itself.
 */
import { readdir, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { openCheckpoint } from '../checkpoint/open.js';
import type { PickleValue } from '../checkpoint/values.js';
import { isTensorView } from '../checkpoint/read.js';
import { DermcapError } from '../errors.js';
import { captionerArchitecture, languageModelPrefix } from './captioner.js';
import type { CaptionerArchitecture, CaptionerSources } from './captioner.js';
import { existingFile, isFile, readJsonObject, snapshotOf } from './files.js';
import { withoutTraining } from './inferenceMin.js';
import { readAdapterConfig, withAdapter } from './lora.js';
import { recogniseProjector } from './projectors.js';
import { listed, stateDict } from './stateDict.js';
import type { Dict, StateDict } from './stateDict.js';
import { towerLibrary } from './tower.js';

/** The files of a release a caption can come from: Stage A, Stage B, or the published final model. */
export type StageId = 'a' | 'b' | 'final';

/** Training configuration as plain values: text, numbers, booleans, null, lists. */
export type TrainingConfig = Record<string, unknown>;

export interface StageFile {
  id: StageId;
  label: string;
  /** File name within the release. */
  file: string;
  /** The prompt the stage was trained with; null when its file does not say. */
  prompt: string | null;
}

export interface ReleaseDescription {
  name: string;
  folder: string;
  stages: StageFile[];
  /** Folder of the vision tower, when one lies inside or beside the release. */
  clipDir: string | null;
}

export interface OpenStage extends StageFile {
  path: string;
  dict: StateDict;
  config: TrainingConfig;
  architecture: CaptionerArchitecture;
  sources: CaptionerSources;
}

/**
 * `faithful`: the checkpoint as it was trained. `inference-min`: as the family's published script effectively loads it,
 * which drops what LoRA wraps and so keeps the stock GPT-2 there; see {@link withoutTraining}.
 */
export type ReleaseMode = 'faithful' | 'inference-min';

export interface OpenRelease extends Pick<ReleaseDescription, 'name' | 'folder' | 'clipDir'> {
  mode: ReleaseMode;
  stages: OpenStage[];
  /** End-of-text token of `config.json`; undefined where that is silent. */
  endOfText: number | undefined;
}

const LABELS: Record<StageId, string> = { a: 'Stage A', b: 'Stage B', final: 'Final' };

/**
 * Lists a release's stages with their prompts. Reads the checkpoints' pickles, no weights.
 * @param path the release's folder, or one checkpoint
 * @throws DermcapError `release-missing` | `release-empty` | `release-unclear`, or what the checkpoint reader found
 */
export async function describeRelease(path: string): Promise<ReleaseDescription> {
  const { folder, files } = await findStages(path);
  const stages: StageFile[] = [];
  for (const [id, file] of files) {
    const dict = stateDict(await openCheckpoint(join(folder, file)));
    stages.push({ id, label: LABELS[id], file, prompt: await promptOf(folder, id, file, dict) });
  }
  return { ...(await placeOf(path, folder)), folder, stages };
}

/**
 * Opens stages, all of the release unless some are named: their architecture and where every weight lies.
 * @param path the release's folder, or one checkpoint
 * @throws DermcapError `stage-missing` | `inference-min-unavailable`, or what the reader and the architecture found
 */
export async function openRelease(
  path: string,
  ids?: readonly StageId[],
  { mode = 'faithful' }: { mode?: ReleaseMode | undefined } = {},
): Promise<OpenRelease> {
  const { folder, files } = await findStages(path);
  const gpt2 = await readGpt2Config(folder);
  const open = async (id: StageId): Promise<OpenStage> => {
    const file = files.get(id);
    if (file === undefined)
      throw new DermcapError('stage-missing', `${path} holds no ${LABELS[id]} checkpoint.`, {
        hint: 'best_stageA.pt is Stage A, best_stageB.pt Stage B, final_captioner_*.pt the final model.',
      });
    let dict = stateDict(await openCheckpoint(join(folder, file)));
    // Which of several checkpoints an adapter belongs to, nothing says.
    if (files.size === 1) dict = await withAdapter(folder, dict, languageModelPrefix(dict.tensors.keys()));
    const config = trainingConfig(dict.beside);
    const { architecture, sources } = captionerArchitecture(dict, {
      heads: gpt2?.heads,
      gpt2Name: text(config['GPT2_NAME']) ?? text(config['gpt2_name']) ?? undefined,
      adapter: await readAdapterConfig(folder, config),
    });
    const prompt = await promptOf(folder, id, file, dict);
    return { id, label: LABELS[id], file, path: dict.file, prompt, dict, config, architecture, sources };
  };
  const stages: OpenStage[] = [];
  for (const id of ids ?? files.keys()) stages.push(await open(id));
  if (mode === 'inference-min') {
    const stageA = stages.find(({ id }) => id === 'a') ?? (files.has('a') ? await open('a') : null);
    stages.splice(0, Infinity, ...stages.map(stage => withoutTraining(stage, stageA)));
  }
  return { ...(await placeOf(path, folder)), folder, mode, stages, endOfText: gpt2?.endOfText };
}

/** What a release's folder tells without opening its checkpoints. */
async function placeOf(path: string, folder: string): Promise<Pick<ReleaseDescription, 'name' | 'clipDir'>> {
  return { name: basename(await realpath(path)).replace(/\.pt$/, ''), clipDir: await findClip(folder) };
}

export interface Gpt2Config {
  heads: number | undefined;
  endOfText: number | undefined;
}

/** Settings of GPT-2's configuration that no tensor shows and the graph holds as they are in every published model. */
const SUPPORTED_SETTINGS: Record<string, readonly unknown[]> = {
  activation_function: ['gelu_new', 'gelu_pytorch_tanh'],
  layer_norm_epsilon: [1e-5],
  scale_attn_weights: [true],
  scale_attn_by_inverse_layer_idx: [false],
};

/** GPT-2's own `config.json` beside the checkpoints, if there is one. */
export async function readGpt2Config(folder: string): Promise<Gpt2Config | null> {
  const path = join(folder, 'config.json');
  if (!(await isFile(path))) return null;
  const config = await readJsonObject(path);
  for (const [setting, supported] of Object.entries(SUPPORTED_SETTINGS)) {
    const value = config[setting];
    if (value === undefined || supported.includes(value)) continue;
    throw new DermcapError(
      'config-unsupported',
      `${path}: ${setting} ${JSON.stringify(value)} is not supported, only ${supported.map(v => JSON.stringify(v)).join(' or ')}.`,
      { hint: 'A model computed otherwise would give other captions.' },
    );
  }
  const eos = config['eos_token_id'];
  return {
    heads: number(config['n_head']) ?? number(config['num_attention_heads']),
    endOfText: number(Array.isArray(eos) ? eos[0] : eos),
  };
}

/**
 * Which token ends a caption: the first of these ids (`config.json`'s, the tokenizer's) that the vocabulary has, else
 * its last. A configuration written with GPT-2's defaults names 50256 for the smallest vocabulary.
 */
export function endOfTextId(vocabulary: number, ...ids: (number | undefined)[]): number {
  const known = ids.find(id => id !== undefined && Number.isInteger(id) && id >= 0 && id < vocabulary);
  return known ?? vocabulary - 1;
}

export function tokenizerFile(folder: string): Promise<string | null> {
  return existingFile(folder, ['tokenizer.json']);
}

/** The checkpoints of a folder; of a file, itself as the final model, unless its name says which stage it is. */
async function findStages(path: string): Promise<{ folder: string; files: Map<StageId, string> }> {
  if (await isFile(path)) {
    const file = basename(path);
    const id = file === 'best_stageA.pt' ? 'a' : file === 'best_stageB.pt' ? 'b' : 'final';
    return { folder: dirname(path), files: new Map([[id, file]]) };
  }
  const folder = await snapshotOf(path);
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (cause) {
    throw new DermcapError('release-missing', `${path} is not a folder that can be read.`, {
      hint: 'Name the folder that holds best_stageA.pt and best_stageB.pt, or one checkpoint.',
      cause,
    });
  }
  const final = names.filter(name => /^final_captioner_.*\.pt$/.test(name)).sort();
  const candidates: [StageId, string | undefined][] = [
    ['a', names.find(name => name === 'best_stageA.pt')],
    ['b', names.find(name => name === 'best_stageB.pt')],
    ['final', final.at(-1)], // as the published script picks it
  ];
  const found = candidates.filter((entry): entry is [StageId, string] => entry[1] !== undefined);
  if (found.length > 0) return { folder, files: new Map(found) };
  const loose = names.filter(name => name.endsWith('.pt')).sort();
  if (loose.length === 1) return { folder, files: new Map([['final', loose[0]!]]) };
  if (loose.length > 1)
    throw new DermcapError('release-unclear', `${path} holds several checkpoints: ${listed(loose)}.`, {
      hint: `Name one of them: ${join(path, loose[0]!)}`,
    });
  throw new DermcapError('release-empty', `${path} holds no checkpoint of a captioner.`, {
    hint: 'Expected best_stageA.pt, best_stageB.pt, final_captioner_*.pt, or a single .pt file.',
  });
}

async function promptOf(
  folder: string,
  id: StageId,
  file: string,
  { beside, tensors }: StateDict,
): Promise<string | null> {
  const config = trainingConfig(beside);
  // ClipCap's captioners are trained to begin right behind the prefix.
  const { kind } = recogniseProjector(tensors, languageModelPrefix(tensors.keys()));
  if (kind !== 'prefix') return text(config['prompt']) ?? '';
  if (id === 'a') return text(config['prompt_A']);
  const trained = text(config['prompt_B']);
  if (id === 'b') return trained;
  return text(config['prompt']) ?? (await promptOfJson(folder, file)) ?? trained;
}

/** The prompt of the `.json` that belongs to the checkpoint; of the last one, as the published script picks it. */
async function promptOfJson(folder: string, file: string): Promise<string | null> {
  const names = (await readdir(folder)).filter(n => /^final_captioner_.*\.json$/.test(n)).sort();
  const own = file.replace(/\.pt$/, '.json');
  const name = names.includes(own) ? own : names.at(-1);
  return name === undefined ? null : text((await readJsonObject(join(folder, name)))['prompt']);
}

async function findClip(folder: string): Promise<string | null> {
  const real = await realpath(folder);
  for (const place of [join(real, 'clip'), real, join(dirname(real), 'clip')])
    if ((await towerLibrary(await snapshotOf(place))) !== null) return place;
  return null;
}

/** `cfg` and `meta` as one plain object (meta wins). */
function trainingConfig(beside: Dict): TrainingConfig {
  return { ...plainDict(beside.get('cfg')), ...plainDict(beside.get('meta')) };
}

function plainDict(value: PickleValue | undefined): Record<string, unknown> {
  if (!(value instanceof Map)) return {};
  return Object.fromEntries([...(value as Dict)].map(([key, item]) => [String(key), plain(item)]));
}

function plain(value: PickleValue): unknown {
  if (value instanceof Map) return plainDict(value);
  if (Array.isArray(value)) return value.map(plain);
  if (isTensorView(value)) return `tensor [${value.shape.join(', ')}]`;
  return typeof value === 'bigint' ? value.toString() : value;
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
