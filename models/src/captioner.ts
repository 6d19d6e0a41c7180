/**
 * The façade of `@dermcap/models`: open a release and its vision tower, caption images.
 */
import { availableParallelism } from 'node:os';
import { Tensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';
import type { ProjectorArchitecture } from './architecture/projectors.js';
import { endOfTextId, openRelease, tokenizerFile } from './architecture/release.js';
import type { StageId } from './architecture/release.js';
import { mapSources } from './architecture/source.js';
import { openVisionTower } from './architecture/tower.js';
import { stopTokenOf, withDefaults } from './decoding.js';
import type { Decoding } from './decoding.js';
import { DermcapError } from './errors.js';
import { NO_TOKEN } from './graph/beam.js';
import { captionGraph } from './graph/caption.js';
import type { CaptionModel } from './graph/lanes.js';
import { vitGraph } from './graph/vit.js';
import type { InputSpec } from './image/preprocess.js';
import { defaultCacheDir } from './runtime/cache.js';
import { contentSeed, stageSeed } from './runtime/draws.js';
import { captionFeeds } from './runtime/feeds.js';
import { fileSha256 } from './runtime/identity.js';
import { materialiser } from './runtime/materialise.js';
import { chooseProvider, createSession } from './runtime/session.js';
import type { Provider, ProviderChoice } from './runtime/session.js';
import { groupStages } from './runtime/stageGroups.js';
import { gpt2Tokenizer, loadTokenizer } from './text/tokenizer.js';
import type { Tokenizer } from './text/tokenizer.js';

export interface CaptionerOptions {
  /** Folder with `best_stageA.pt`, `best_stageB.pt`, `final_captioner_*.pt`. */
  releaseDir: string;
  /** Folder with `open_clip_config.json` and its weights; default: `clip/` inside or beside the release. */
  clipDir?: string | undefined;
  stages: readonly StageId[];
  provider?: ProviderChoice | undefined;
  precision?: 'exact' | undefined;
  /** Threads of onnxruntime; default: all cores. */
  threads?: number | undefined;
  /** Where computed weights (merged LoRA, widened fp16) and hashes are kept; default `~/.cache/dermcap`. */
  cacheDir?: string | undefined;
  /** Called with what is being done, in words. */
  onProgress?: ((phase: string) => void) | undefined;
}

export interface StageDescription {
  id: StageId;
  label: string;
  file: string;
  sha256: string;
  /** The prompt this stage was trained with; null when its file does not say. */
  prompt: string | null;
}

export interface StageCaption {
  stage: StageId;
  caption: string;
  /** Generated token ids without the end-of-text token; the token of `stopText` is in it. */
  tokens: number[];
  /** Length-normalised sum of log-probabilities (beam search); null with one beam. */
  score: number | null;
  prompt: string;
}

export interface CaptionRequest {
  prompt?: string | undefined;
  decoding?: Partial<Decoding> | undefined;
  /**
   * With `doSample`: 64 bits for each image that, with the decoding's seed and the stage's checkpoint, decide what is
   * drawn. Default: taken from the image's pixels, so that a caption does not depend on its batch.
   */
  imageSeeds?: readonly bigint[] | undefined;
}

/** An open release. Calls run one after the other. */
export interface Captioner {
  readonly releaseName: string;
  readonly stages: readonly StageDescription[];
  readonly clip: { readonly name: string; readonly sha256: string };
  readonly provider: { readonly name: string; readonly reason: string };
  readonly precision: 'exact';
  /** What the vision tower wants: pass it to `preprocess`. */
  readonly input: InputSpec;
  /**
   * L2-normalised image embeddings.
   * @param pixels preprocessed images, each [3, size, size] row-major
   * @returns one embedding [D] per image
   */
  embed(pixels: readonly Float32Array[]): Promise<Float32Array[]>;
  /**
   * Captions of every stage for each image: result[image][stage], stages in the order of `stages`.
   * Without a prompt each stage gets the one it was trained with.
   * @throws DermcapError `decoding-invalid`, `prompt-unknown`, `prompt-too-long`, `tokenizer-mismatch`
   */
  caption(pixels: readonly Float32Array[], request?: CaptionRequest): Promise<StageCaption[][]>;
  close(): Promise<void>;
}

/** A graph over stages that can be decoded together. */
interface OpenGroup {
  /** Index of each of the group's stages among the captioner's. */
  members: number[];
  model: CaptionModel & Pick<ProjectorArchitecture, 'input'>;
  session: InferenceSession;
}

/**
 * Opens the stages of a release and its vision tower. Weights stay in their files.
 * @throws DermcapError naming what is missing or does not fit, with a hint
 */
export async function openCaptioner(options: CaptionerOptions): Promise<Captioner> {
  const { releaseDir, onProgress = () => {} } = options;
  const cacheDir = options.cacheDir ?? defaultCacheDir();
  const threads = options.threads ?? availableParallelism();
  const provider = chooseProvider(options.provider ?? 'auto');

  onProgress('Reading the checkpoints');
  const release = await openRelease(releaseDir, options.stages);
  const { stages } = release;
  const towerDir = options.clipDir ?? release.clipDir;
  if (towerDir === null)
    throw new DermcapError('clip-missing', `${releaseDir}: no vision tower was found for this release.`, {
      hint: 'Name the folder with open_clip_config.json (--clip DIR), or put it into the release as "clip".',
    });
  const tower = await openVisionTower(towerDir);
  for (const stage of stages)
    if (stage.architecture.embedding !== tower.sizes.embedding)
      throw new DermcapError(
        'clip-mismatch',
        `${stage.file} expects image embeddings of ${stage.architecture.embedding} values, but the vision tower ` +
          `${tower.name} in ${towerDir} gives ${tower.sizes.embedding}.`,
        { hint: 'This release was trained with another vision tower.' },
      );

  onProgress('Hashing the files');
  const shas: string[] = [];
  for (const stage of stages) shas.push(await fileSha256(stage.path, cacheDir));
  const clip = { name: tower.name, sha256: await fileSha256(tower.weightsFile, cacheDir) };

  const tokenizer = await releaseTokenizer(releaseDir);
  const materialise = materialiser(cacheDir);
  onProgress('Loading the vision tower');
  const vision = await createSession(
    vitGraph(await mapSources(tower.sources, materialise), tower.sizes, tower.form),
    provider,
    threads,
  );

  onProgress('Loading the language model');
  const groups: OpenGroup[] = [];
  for (const { members, sharedBlocks } of await groupStages(stages, cacheDir)) {
    const first = stages[members[0]!]!;
    const { sizes, prefixSlots, embedding, projector } = first.architecture;
    const endOfText = endOfTextId(sizes.vocabulary, release.endOfText, tokenizer.endOfText);
    const gpt2 = [];
    for (const member of members) gpt2.push(await mapSources(stages[member]!.sources.gpt2, materialise));
    const model: OpenGroup['model'] = {
      sizes: { ...sizes, endOfText },
      prefixSlots,
      embedding,
      input: projector.input,
      projector: await mapSources(first.sources.projector, materialise),
      stages: gpt2,
      sharedBlocks,
    };
    groups.push({ members, model, session: await createSession(captionGraph(model), provider, threads) });
  }
  onProgress('Ready');

  return new OnnxCaptioner(
    release.name,
    stages.map(({ id, label, file, prompt }, i) => ({ id, label, file, prompt, sha256: shas[i]! })),
    clip,
    provider,
    { size: tower.sizes.imageSize, mean: tower.mean, std: tower.std },
    tokenizer,
    vision,
    groups,
  );
}

class OnnxCaptioner implements Captioner {
  readonly precision = 'exact';

  constructor(
    readonly releaseName: string,
    readonly stages: readonly StageDescription[],
    readonly clip: Captioner['clip'],
    readonly provider: Provider,
    readonly input: InputSpec,
    private readonly tokenizer: Tokenizer,
    private readonly vision: InferenceSession,
    private readonly groups: readonly OpenGroup[],
  ) {}

  async embed(pixels: readonly Float32Array[]): Promise<Float32Array[]> {
    const { embedding } = await this.embeddings(pixels);
    const width = embedding.length / Math.max(1, pixels.length);
    return pixels.map((_, i) => embedding.slice(i * width, (i + 1) * width));
  }

  async caption(pixels: readonly Float32Array[], request: CaptionRequest = {}): Promise<StageCaption[][]> {
    if (pixels.length === 0) return [];
    const decoding = withDefaults(request.decoding ?? {});
    const badWords = decoding.badWords.map(phrase => this.tokenizer.encode(phrase));
    const images = request.imageSeeds ?? (decoding.doSample ? pixels.map(contentSeed) : []);
    const outputs = await this.embeddings(pixels);
    const results = pixels.map(() => Array<StageCaption>(this.stages.length));
    for (const { members, model, session } of this.groups) {
      const prompts = members.map(member => this.promptOf(this.stages[member]!, request.prompt));
      const ids = prompts.map(prompt => this.tokenizer.encode(prompt));
      const stopToken = stopTokenOf(decoding, this.tokenizer, model.sizes.endOfText);
      const streams = images.flatMap(image =>
        members.map(member => ({ seed: decoding.seed, image, stage: stageSeed(this.stages[member]!) })),
      );
      const options = { ...decoding, badWords, stopToken, streams };
      const feeds = captionFeeds(model, outputs[model.input], ids, options);
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
            caption: withoutPrompt(this.tokenizer.decode(generated), prompts[s]!),
            tokens: generated,
            score: decoding.numBeams === 1 ? null : (scores!.data as Float32Array)[at]!,
            prompt: prompts[s]!,
          };
        }
      });
    }
    return results;
  }

  async close(): Promise<void> {
    await Promise.all([this.vision, ...this.groups.map(group => group.session)].map(s => s.release()));
  }

  /** [B, D] row-major: of unit length, and as the tower gives it */
  private async embeddings(
    pixels: readonly Float32Array[],
  ): Promise<Record<ProjectorArchitecture['input'], Float32Array>> {
    if (pixels.length === 0) return { embedding: new Float32Array(0), features: new Float32Array(0) };
    const { size } = this.input;
    const batch = new Float32Array(pixels.length * 3 * size * size);
    pixels.forEach((image, i) => batch.set(image, i * 3 * size * size));
    const feeds = { pixels: new Tensor('float32', batch, [pixels.length, 3, size, size]) };
    const { embedding, features } = await this.vision.run(feeds);
    return { embedding: embedding!.data as Float32Array, features: features!.data as Float32Array };
  }

  private promptOf(stage: StageDescription, asked: string | undefined): string {
    const prompt = asked ?? stage.prompt;
    if (prompt === null)
      throw new DermcapError(
        'prompt-unknown',
        `${stage.file} does not say which prompt it was trained with.`,
        {
          hint: 'Give a prompt (--prompt TEXT).',
        },
      );
    return prompt;
  }
}

/** What Python's `str.strip` takes off: some control characters too, unlike JavaScript's `trim`. */
const SPACE = String.raw`[\s\x1c-\x1f\x85]+`;
const EDGES = new RegExp(`^${SPACE}|${SPACE}$`, 'g');

/** The reference cuts everything up to the prompt, should the model repeat it, and trims. */
function withoutPrompt(caption: string, prompt: string): string {
  const at = prompt === '' ? -1 : caption.indexOf(prompt);
  return (at < 0 ? caption : caption.slice(at + prompt.length)).replace(EDGES, '');
}

async function releaseTokenizer(releaseDir: string): Promise<Tokenizer> {
  const file = await tokenizerFile(releaseDir);
  return file === null ? gpt2Tokenizer() : loadTokenizer(file);
}
