/**
 * Image and text embeddings of a CLIP model, for CLIP scores: the cosine of the two. Each tower is loaded when it is
 * first asked for.
 */
import { Tensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';
import { mapSources } from './architecture/source.js';
import { openTextTower as openTextArchitecture } from './architecture/textTower.js';
import type { TextTower as TextArchitecture } from './architecture/textTower.js';
import { openVisionTower } from './architecture/tower.js';
import { bertTextGraph } from './graph/bertText.js';
import type { Graph } from './graph/builder.js';
import { clipTextGraph } from './graph/clipText.js';
import { vitGraph } from './graph/vit.js';
import type { InputSpec } from './image/preprocess.js';
import { defaultCacheDir } from './runtime/cache.js';
import { CacheUse } from './runtime/cacheUse.js';
import { fileSha256 } from './runtime/identity.js';
import { materialiser } from './runtime/materialise.js';
import { chooseProvider } from './runtime/providers.js';
import type { ProviderChoice } from './runtime/providers.js';
import { createSession } from './runtime/session.js';
import { pixelBatch } from './runtime/tensors.js';
import { defaultThreads } from './runtime/threads.js';
import { cleanForClip } from './text/clean.js';
import { textTokenizer } from './text/towerTokenizer.js';
import type { TextEncoder } from './text/towerTokenizer.js';

export interface ClipOptions {
  provider?: ProviderChoice | undefined;
  /** Which CUDA device, counted from 0. */
  device?: number | undefined;
  /** Threads of onnxruntime; default: one a core. */
  threads?: number | undefined;
  /** Where computed weights and hashes are kept; default `~/.cache/dermcap`. */
  cacheDir?: string | undefined;
}

/** An open text tower. */
export interface TextTower {
  /** Width E of an embedding. */
  readonly embedding: number;
  /** Most tokens of a text; what lies behind is cut off, as the reference does. */
  readonly maxTokens: number;
  /**
   * Embeddings of unit length.
   * @returns one [E] per text, in order
   */
  textEmbeddings(texts: readonly string[]): Promise<Float32Array[]>;
  close(): Promise<void>;
}

/** A CLIP model: both towers of one folder. */
export interface ClipModel {
  /** What the vision tower wants: pass it to `preprocess`. */
  readonly input: InputSpec;
  readonly name: string;
  readonly sha256: string;
  textEmbeddings(texts: readonly string[]): Promise<Float32Array[]>;
  /**
   * @param pixels preprocessed images, each [3, size, size] row-major
   * @returns one [E] of unit length per image
   */
  imageEmbeddings(pixels: readonly Float32Array[]): Promise<Float32Array[]>;
  /** The same as the tower gives them, not scaled to unit length: what ClipCap's captioners take. */
  imageFeatures(pixels: readonly Float32Array[]): Promise<Float32Array[]>;
  close(): Promise<void>;
}

/** Rows that go through a tower together. */
const BATCH = 32;

/**
 * Opens the text tower in a folder as on the hub (BERT or CLIP's own, of open_clip or transformers).
 * @throws DermcapError naming what is missing or not supported: configuration, weights, tokenizer
 */
export async function openTextTower(clipDir: string, options: ClipOptions = {}): Promise<TextTower> {
  const tower = await openTextArchitecture(clipDir);
  const encode = await textTokenizer(tower.folder, tower.kind, tower.maxTokens);
  const cache = new CacheUse(cacheOf(options));
  try {
    const session = await towerSession(await textGraph(tower, cache), options);
    return new OnnxTextTower(tower, encode, session, cache);
  } catch (error) {
    await cache.release();
    throw error;
  }
}

/** @throws DermcapError naming what is missing or not supported of the vision tower; of the text tower when it is used */
export async function openClip(clipDir: string, options: ClipOptions = {}): Promise<ClipModel> {
  const tower = await openVisionTower(clipDir);
  const { imageSize: size, mean, std, centre } = tower;
  const sha256 = await fileSha256(tower.weightsFile, cacheOf(options));
  const cache = new CacheUse(cacheOf(options));
  const vision = once(async () => {
    const weights = await mapSources(tower.sources, materialiser(cache));
    return towerSession(vitGraph(weights, tower.sizes, tower.form), options);
  });
  const text = once(() => openTextTower(clipDir, options));
  const images = async (pixels: readonly Float32Array[], output: 'embedding' | 'features') => {
    const session = await vision.get();
    return inBatches(pixels, some => run(session, { pixels: pixelBatch(some, size) }, output));
  };
  return {
    input: { size, mean, std, centre },
    name: tower.name,
    sha256,
    textEmbeddings: async texts => (await text.get()).textEmbeddings(texts),
    imageEmbeddings: pixels => images(pixels, 'embedding'),
    imageFeatures: pixels => images(pixels, 'features'),
    close: async () => {
      await (await vision.opened())?.release();
      await (await text.opened())?.close();
      await cache.release();
    },
  };
}

class OnnxTextTower implements TextTower {
  readonly embedding: number;
  readonly maxTokens: number;

  constructor(
    private readonly tower: TextArchitecture,
    private readonly encode: TextEncoder,
    private readonly session: InferenceSession,
    private readonly cache: CacheUse,
  ) {
    this.embedding = tower.form.embedding;
    this.maxTokens = tower.maxTokens;
  }

  textEmbeddings(texts: readonly string[]): Promise<Float32Array[]> {
    return inBatches(texts, batch => {
      const rows = batch.map(text => this.encode(prepared(text, this.tower)));
      const length = Math.max(...rows.map(row => row.length));
      const ids = new BigInt64Array(rows.length * length);
      rows.forEach((row, i) => ids.set(row.map(BigInt), i * length));
      return run(this.session, { ids: new Tensor('int64', ids, [rows.length, length]) }, 'embedding');
    });
  }

  async close(): Promise<void> {
    await this.session.release();
    await this.cache.release();
  }
}

/** What each library does to a text before its tokenizer. */
function prepared(text: string, tower: TextArchitecture): string {
  if (tower.kind === 'bert') return cleanForClip(text);
  return tower.cleaned ? cleanForClip(text).toLowerCase() : text;
}

async function textGraph(tower: TextArchitecture, cache: CacheUse): Promise<Graph> {
  const materialise = materialiser(cache);
  if (tower.kind === 'bert') return bertTextGraph(await mapSources(tower.sources, materialise), tower.form);
  return clipTextGraph(await mapSources(tower.sources, materialise), tower.form, tower.endOfText);
}

async function towerSession(
  graph: Graph,
  { provider = 'auto', device, threads }: ClipOptions,
): Promise<InferenceSession> {
  return createSession(graph, await chooseProvider(provider, device), threads ?? defaultThreads());
}

async function run(
  session: InferenceSession,
  feeds: Record<string, Tensor>,
  output: 'embedding' | 'features',
): Promise<Float32Array[]> {
  const result = (await session.run(feeds, [output]))[output]!;
  const [rows, width] = result.dims as [number, number];
  const flat = result.data as Float32Array;
  return Array.from({ length: rows }, (_, i) => flat.slice(i * width, (i + 1) * width));
}

async function inBatches<T>(
  items: readonly T[],
  embed: (batch: readonly T[]) => Promise<Float32Array[]>,
): Promise<Float32Array[]> {
  const results: Float32Array[] = [];
  for (let i = 0; i < items.length; i += BATCH) results.push(...(await embed(items.slice(i, i + BATCH))));
  return results;
}

function cacheOf({ cacheDir }: ClipOptions): string {
  return cacheDir ?? defaultCacheDir();
}

/** Opened at most once; after a failure it may be tried again. */
function once<T>(open: () => Promise<T>): { get: () => Promise<T>; opened: () => Promise<T | undefined> } {
  let value: Promise<T> | undefined;
  return {
    get: () =>
      (value ??= open().catch((error: unknown) => {
        value = undefined;
        throw error;
      })),
    opened: async () => value,
  };
}
