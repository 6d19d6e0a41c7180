/**
 * Explanations of captions: attention, likelihoods, saliency. Opened beside a captioner and independent of it: the
 * weights are the checkpoint's own in fp32, read where they lie in the file, whatever precision captions are made in.
 */
import { pixelsOf } from './asked.js';
import type { CaptionerOptions } from './captioner.js';
import { DermcapError } from './errors.js';
import { saliencyMap } from './explanation/saliency.js';
import type { Steering } from './explanation/saliency.js';
import { Sessions } from './explanation/sessions.js';
import { StageReader } from './explanation/stage.js';
import { TowerReader } from './explanation/tower.js';
import type {
  Divergence,
  Explainer,
  ExplainerDescription,
  Explanation,
  ExplainRequest,
  ImagePixels,
  Saliency,
  SaliencyRequest,
  TextRequest,
  VisionRollout,
} from './explanation/types.js';
import { openAll } from './opening.js';
import { defaultCacheDir } from './runtime/cache.js';
import { CacheUse } from './runtime/cacheUse.js';
import { materialiser } from './runtime/materialise.js';
import { chooseProvider } from './runtime/providers.js';
import { defaultThreads } from './runtime/threads.js';

export type ExplainerOptions = Omit<CaptionerOptions, 'precision'>;

const DEFAULT_TOP_K = 5;
const DEFAULT_BATCH_SIZE = 8;

/**
 * Opens stages of releases for explanations. Reads the checkpoints' pickles, no weights yet.
 * @throws DermcapError naming what is missing or does not fit, with a hint
 */
export async function openExplainer(options: ExplainerOptions): Promise<Explainer> {
  options.onProgress?.('Reading the checkpoints');
  const { releases, tokenizers, towers, inputs, members } = await openAll(options.releases);
  const provider = await chooseProvider(options.provider ?? 'auto', options.device);
  const sessions = new Sessions(provider, options.threads ?? defaultThreads());
  const cache = new CacheUse(options.cacheDir ?? defaultCacheDir());
  const materialise = materialiser(cache);
  return new OnnxExplainer(
    {
      releases: releases.map(({ name, mode }) => ({ name, mode })),
      stages: members.map(({ stage: { id, label, file, prompt }, release, tower }) => ({
        ...{ id, label, file, prompt, release, tower },
      })),
      towers: towers.map(({ name, input }) => ({ name, input })),
      inputs,
      provider,
    },
    members.map(({ stage, release, endOfText }, index) => {
      const tokenizer = tokenizers[release]!;
      return new StageReader(index, stage, endOfText, tokenizer, sessions, materialise);
    }),
    towers.map((tower, index) => new TowerReader(index, tower, sessions, materialise)),
    sessions,
    cache,
  );
}

class OnnxExplainer implements Explainer {
  readonly releases: Explainer['releases'];
  readonly stages: Explainer['stages'];
  readonly towers: Explainer['towers'];
  readonly inputs: Explainer['inputs'];
  readonly provider: Explainer['provider'];

  constructor(
    description: ExplainerDescription,
    private readonly stageReaders: readonly StageReader[],
    private readonly towerReaders: readonly TowerReader[],
    private readonly sessions: Sessions,
    private readonly cache: CacheUse,
  ) {
    this.releases = description.releases;
    this.stages = description.stages;
    this.towers = description.towers;
    this.inputs = description.inputs;
    this.provider = description.provider;
  }

  async explain(image: ImagePixels, request: ExplainRequest): Promise<Explanation> {
    const stages = request.stages ?? this.stages.map((_, index) => index);
    const features = new Map<number, ReturnType<TowerReader['embed']>>();
    const read = [];
    for (const index of stages) {
      const { reader, tower, towerReader } = this.stage(index);
      if (!features.has(tower)) features.set(tower, towerReader.embed([this.pixels(image, tower)]));
      const embedding = (await features.get(tower)!)[reader.input];
      const tokens = reader.tokens(this.textFor(reader, this.stage(stages[0]!).reader, request));
      read.push({ reader, ...(await reader.read(embedding, tokens, request.topK ?? DEFAULT_TOP_K)) });
    }
    const divergences: Divergence[] = [];
    for (const [i, a] of read.entries())
      for (const b of read.slice(i + 1)) {
        const divergence = await a.reader.divergence(a, b.reader, b);
        if (divergence) divergences.push(divergence);
      }
    return { readings: read.map(({ reading }) => reading), divergences };
  }

  async visionRollout(image: ImagePixels, tower = 0): Promise<VisionRollout> {
    const reader = this.towerReaders[tower];
    if (!reader) throw new DermcapError('tower-missing', `There is no vision tower ${tower} open here.`);
    return reader.rollout(this.pixels(image, tower));
  }

  async saliency(image: ImagePixels, request: SaliencyRequest, steering?: Steering): Promise<Saliency> {
    const { reader, tower, towerReader } = this.stage(request.stage);
    const pixels = this.pixels(image, tower);
    const tokens = reader.tokens(request);
    const chosen = reader.chosen(tokens.text, request.target);
    const { size, patch, grid } = towerReader;
    const subject = {
      ...{ pixels, size, patch, grid, tokens: chosen.length },
      activations: () => towerReader.activations(pixels),
      score: async (images: readonly Float32Array[]) =>
        reader.likelihoods((await towerReader.embed(images))[reader.input], tokens, chosen),
    };
    const map = await saliencyMap(subject, request, request.batchSize ?? DEFAULT_BATCH_SIZE, steering);
    return { ...map, stage: request.stage, tokens: chosen };
  }

  async close(): Promise<void> {
    await this.sessions.release();
    await this.cache.release();
  }

  private stage(index: number): { reader: StageReader; tower: number; towerReader: TowerReader } {
    const reader = this.stageReaders[index];
    if (!reader)
      throw new DermcapError(
        'stage-missing',
        `There is no stage ${index} open here: there are ${this.stages.length}, counted from 0.`,
      );
    const { tower } = this.stages[index]!;
    return { reader, tower, towerReader: this.towerReaders[tower]! };
  }

  /** Tokens mean something to the stage they are of; another vocabulary gets their text. */
  private textFor(reader: StageReader, of: StageReader, request: TextRequest): TextRequest {
    if (typeof request.text === 'string') return request;
    const text = of.decode(request.text);
    return reader.decode(request.text) === text ? request : { ...request, text };
  }

  private pixels(image: ImagePixels, tower: number): Float32Array {
    const { input, name } = this.towers[tower]!;
    return pixelsOf(image, input, this.inputs[input]!.size, name);
  }
}
