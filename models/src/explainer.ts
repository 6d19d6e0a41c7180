/**
 * Explanations of captions: attention, likelihoods, saliency. Opened beside a captioner and independent of it: the
 * weights are the checkpoint's own in fp32, read where they lie in the file, whatever precision captions are made in.
 */
import { availableParallelism } from 'node:os';
import type { StageId } from './architecture/release.js';
import type { CaptionerOptions, ReleaseRequest } from './captioner.js';
import { DermcapError } from './errors.js';
import { saliencyMap } from './explanation/saliency.js';
import type { Steering } from './explanation/saliency.js';
import { Sessions } from './explanation/sessions.js';
import { StageReader } from './explanation/stage.js';
import { TowerReader } from './explanation/tower.js';
import type {
  Divergence,
  Explainer,
  Explanation,
  ExplainRequest,
  Saliency,
  SaliencyRequest,
  VisionRollout,
} from './explanation/types.js';
import type { InputSpec } from './image/preprocess.js';
import { openAll } from './opening.js';
import { defaultCacheDir } from './runtime/cache.js';
import { materialiser } from './runtime/materialise.js';
import { chooseProvider } from './runtime/session.js';
import type { Provider } from './runtime/session.js';

export interface ExplainerOptions extends Omit<CaptionerOptions, 'precision' | 'releases'> {
  release: ReleaseRequest;
}

const DEFAULT_TOP_K = 5;
const DEFAULT_BATCH_SIZE = 8;

/**
 * Opens stages of a release for explanations. Reads the checkpoints' pickles, no weights yet.
 * @throws DermcapError naming what is missing or does not fit, with a hint
 */
export async function openExplainer(options: ExplainerOptions): Promise<Explainer> {
  options.onProgress?.('Reading the checkpoints');
  const { releases, towers, tokenizers } = await openAll([options.release]);
  const [release, tower, tokenizer] = [releases[0]!, towers[0]!, tokenizers[0]!];
  const provider = chooseProvider(options.provider ?? 'auto');
  const sessions = new Sessions(provider, options.threads ?? availableParallelism());
  const materialise = materialiser(options.cacheDir ?? defaultCacheDir());
  return new OnnxExplainer(
    release.name,
    provider,
    { size: tower.imageSize, mean: tower.mean, std: tower.std },
    release.stages.map(stage => new StageReader(stage, release.endOfText, tokenizer, sessions, materialise)),
    new TowerReader(tower, sessions, materialise),
    sessions,
  );
}

class OnnxExplainer implements Explainer {
  readonly stages: Explainer['stages'];

  constructor(
    readonly releaseName: string,
    readonly provider: Provider,
    readonly input: InputSpec,
    private readonly readers: readonly StageReader[],
    private readonly tower: TowerReader,
    private readonly sessions: Sessions,
  ) {
    this.stages = readers.map(({ stage: { id, label, file, prompt } }) => ({ id, label, file, prompt }));
  }

  async explain(pixels: Float32Array, request: ExplainRequest): Promise<Explanation> {
    const readers = request.stages?.map(id => this.reader(id)) ?? this.readers;
    const outputs = await this.tower.embed([pixels]);
    const read = [];
    for (const reader of readers) {
      const topK = request.topK ?? DEFAULT_TOP_K;
      read.push({ reader, ...(await reader.read(outputs[reader.input], request, topK)) });
    }
    const divergences: Divergence[] = [];
    for (const [i, a] of read.entries())
      for (const b of read.slice(i + 1))
        divergences.push(await a.reader.divergence(a.hidden, b.reader, b.hidden));
    const readings = read.map(({ reading }) => reading);
    return { tokens: readings[0]?.tokens.map(({ id }) => id) ?? [], readings, divergences };
  }

  visionRollout(pixels: Float32Array): Promise<VisionRollout> {
    return this.tower.rollout(pixels);
  }

  async saliency(pixels: Float32Array, request: SaliencyRequest, steering?: Steering): Promise<Saliency> {
    const { tower } = this;
    const reader = this.reader(request.stage);
    const tokens = reader.tokens(request);
    const chosen = reader.chosen(tokens.text, request.target);
    const subject = {
      pixels,
      size: tower.size,
      patch: tower.patch,
      grid: tower.grid,
      tokens: chosen.length,
      activations: () => tower.activations(pixels),
      score: async (images: readonly Float32Array[]) =>
        reader.likelihoods((await tower.embed(images))[reader.input], tokens, chosen),
    };
    const map = await saliencyMap(subject, request, request.batchSize ?? DEFAULT_BATCH_SIZE, steering);
    return { ...map, stage: request.stage, tokens: chosen };
  }

  close(): Promise<void> {
    return this.sessions.release();
  }

  private reader(id: StageId): StageReader {
    const reader = this.readers.find(({ stage }) => stage.id === id);
    if (!reader)
      throw new DermcapError('stage-missing', `Stage “${id}” of ${this.releaseName} is not open here.`);
    return reader;
  }
}
