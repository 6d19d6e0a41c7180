/** The captioner over onnxruntime sessions. */
import type { InferenceSession } from 'onnxruntime-node';
import { pixelsOf, promptOf } from './asked.js';
import type {
  Captioner,
  CaptionerDescription,
  CaptionRequest,
  ImageInput,
  StageCaption,
  TokenScores,
} from './captioner.js';
import { stopTokenOf, withDefaults } from './decoding.js';
import { NO_TOKEN } from './graph/beam.js';
import type { CaptionModel } from './graph/lanes.js';
import type { CacheUse } from './runtime/cacheUse.js';
import { contentSeed, stageSeed } from './runtime/draws.js';
import { captionFeeds } from './runtime/feeds.js';
import type { StageScorer } from './runtime/scoring.js';
import { pixelBatch } from './runtime/tensors.js';
import { unitLength } from './runtime/unitLength.js';
import type { Tokenizer } from './text/tokenizer.js';

/** A graph over stages that are decoded together. */
export interface OpenGroup {
  /** Index of each of the group's stages among the captioner's. */
  members: number[];
  model: CaptionModel;
  session: InferenceSession;
}

export class OnnxCaptioner implements Captioner {
  readonly releases: Captioner['releases'];
  readonly stages: Captioner['stages'];
  readonly towers: Captioner['towers'];
  readonly inputs: Captioner['inputs'];
  readonly provider: Captioner['provider'];
  readonly precision: Captioner['precision'];

  /**
   * @param visions a session per tower
   * @param tokenizers per stage
   * @param cache what the weights were loaded through
   */
  constructor(
    description: CaptionerDescription,
    private readonly visions: readonly InferenceSession[],
    private readonly groups: readonly OpenGroup[],
    private readonly tokenizers: readonly Tokenizer[],
    private readonly scorer: StageScorer,
    private readonly cache: CacheUse,
  ) {
    this.releases = description.releases;
    this.stages = description.stages;
    this.towers = description.towers;
    this.inputs = description.inputs;
    this.provider = description.provider;
    this.precision = description.precision;
  }

  async features(images: readonly ImageInput[]): Promise<Float32Array[][]> {
    const towers = await Promise.all(this.towers.map((_, tower) => this.featuresOf(images, tower)));
    return images.map((_, i) => towers.map(rows => rows[i]!));
  }

  async embed(images: readonly ImageInput[], tower = 0): Promise<Float32Array[]> {
    return (await this.featuresOf(images, tower)).map(unitLength);
  }

  async caption(images: readonly ImageInput[], request: CaptionRequest = {}): Promise<StageCaption[][]> {
    if (images.length === 0) return [];
    const decoding = withDefaults(request.decoding ?? {});
    const features = await Promise.all(this.towers.map((_, tower) => this.featuresOf(images, tower)));
    const seeds =
      request.imageSeeds ?? (decoding.doSample ? images.map(image => contentSeed(contentOf(image))) : []);
    const results = images.map(() => Array<StageCaption>(this.stages.length));
    for (const { members, model, session } of this.groups) {
      const tokenizer = this.tokenizers[members[0]!]!;
      const badWords = decoding.badWords.map(phrase => tokenizer.encode(phrase));
      const prompts = members.map(member => promptOf(this.stages[member]!, request.prompt));
      const ids = prompts.map((prompt, s) => this.tokenizers[members[s]!]!.encode(prompt));
      const stopToken = stopTokenOf(decoding, tokenizer, model.sizes.endOfText);
      const streams = seeds.flatMap(image =>
        members.map(member => ({ seed: decoding.seed, image, stage: stageSeed(this.stages[member]!) })),
      );
      const flat = new Map(model.prefixes.map(({ tower }) => [tower, concatenated(features[tower]!)]));
      const feeds = captionFeeds(model, flat, ids, { ...decoding, badWords, stopToken, streams });
      const { tokens, scores } = await session.run(feeds);
      const sequences = tokens!.data as BigInt64Array;
      const length = tokens!.dims[2]!;
      members.forEach((member, s) => {
        for (const [image, row] of results.entries()) {
          const at = image * members.length + s;
          const sequence = Array.from(sequences.subarray(at * length, (at + 1) * length), Number);
          const end = sequence.indexOf(NO_TOKEN);
          const generated = end < 0 ? sequence : sequence.slice(0, end);
          if (decoding.stopText === null && generated.at(-1) === stopToken) generated.pop();
          row[member] = {
            stage: this.stages[member]!.id,
            caption: withoutPrompt(this.tokenizers[member]!.decode(generated), prompts[s]!),
            tokens: generated,
            score: decoding.numBeams === 1 ? null : (scores!.data as Float32Array)[at]!,
            prompt: prompts[s]!,
          };
        }
      });
    }
    return results;
  }

  async score(
    image: ImageInput,
    stage: number,
    tokens: readonly number[],
    prompt?: string,
  ): Promise<TokenScores> {
    const description = this.stages[stage]!;
    const [features] = await this.featuresOf([image], description.tower);
    const ids = this.tokenizers[stage]!.encode(promptOf(description, prompt));
    return this.scorer.score(stage, features!, { prompt: ids, text: tokens });
  }

  async close(): Promise<void> {
    await this.scorer.release();
    const sessions = [...this.visions, ...this.groups.map(({ session }) => session)];
    await Promise.all(sessions.map(session => session.release()));
    await this.cache.release();
  }

  /** Features of one tower, one [D] per image. */
  private async featuresOf(images: readonly ImageInput[], tower: number): Promise<Float32Array[]> {
    const { input, name } = this.towers[tower]!;
    const { size } = this.inputs[input]!;
    const results = images.map(image => ('features' in image ? image.features[tower]! : null));
    const missing = images.flatMap((image, i) => ('features' in image ? [] : [{ image, i }]));
    if (missing.length > 0) {
      const pixels = missing.map(({ image }) => pixelsOf(image, input, size, name));
      const { features } = await this.visions[tower]!.run({ pixels: pixelBatch(pixels, size) });
      const width = features!.dims[1]!;
      missing.forEach(({ i }, row) => {
        results[i] = (features!.data as Float32Array).slice(row * width, (row + 1) * width);
      });
    }
    return results as Float32Array[];
  }
}

/** What names an image when nothing else does: the first of the arrays it came as. */
function contentOf(image: ImageInput): Float32Array {
  if (image instanceof Float32Array) return image;
  return ('features' in image ? image.features : image.pixels)[0]!;
}

/** [B, D] row-major */
function concatenated(rows: readonly Float32Array[]): Float32Array {
  const width = rows[0]!.length;
  const flat = new Float32Array(rows.length * width);
  rows.forEach((row, i) => flat.set(row, i * width));
  return flat;
}

/** What Python's `str.strip` takes off: some control characters too, unlike JavaScript's `trim`. */
const SPACE = String.raw`[\s\x1c-\x1f\x85]+`;
const EDGES = new RegExp(`^${SPACE}|${SPACE}$`, 'g');

/** The reference cuts everything up to the prompt, should the model repeat it, and trims. */
function withoutPrompt(caption: string, prompt: string): string {
  const at = prompt === '' ? -1 : caption.indexOf(prompt);
  return (at < 0 ? caption : caption.slice(at + prompt.length)).replace(EDGES, '');
}
