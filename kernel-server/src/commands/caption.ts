/** `dermcap caption`: captions image files on the terminal or as JSON lines. */
import { readFile } from 'node:fs/promises';
import type { Precision } from '@dermcap/models';
import { Option, type Command } from 'commander';
import type { Decoding, PreprocessMode, PromptChoice, StageId } from '../contract/index.js';
import { EXIT_SOME_FAILED } from './failure.js';
import { chooseStages, imageSources } from './inputs.js';
import { anyNumber, wholeNumber } from './numbers.js';
import { precisionOption, preprocessOption, providerOption } from './options.js';

interface CaptionFlags {
  release?: string;
  clip?: string;
  stage?: StageId | 'both';
  prompt: string;
  precision: Precision;
  provider: 'auto' | 'cpu' | 'webgpu' | 'cuda';
  device?: number;
  preprocess: PreprocessMode;
  autoOrient: boolean;
  numBeams?: number;
  maxNewTokens?: number;
  minNewTokens?: number;
  noRepeatNgramSize?: number;
  repetitionPenalty?: number;
  lengthPenalty?: number;
  earlyStopping: boolean;
  badWords?: string;
  algorithm?: Decoding['algorithm'];
  stopText?: string;
  doSample?: boolean;
  temperature?: number;
  topK?: number;
  topP?: number;
  seed?: number;
  batchSize: number;
  threads?: number;
  cache?: string;
  json: boolean;
}

/** @param finish told the exit code of a command that did its work */
export function defineCaption(program: Command, finish: (exitCode: number) => void): void {
  program
    .command('caption')
    .description('caption image files (a folder stands for the images in it)')
    .argument('<image...>', 'image files or folders')
    .option('--release <dir>', 'folder with best_stageA.pt, best_stageB.pt (default: the demo release)')
    .option('--clip <dir>', 'folder with open_clip_config.json and its weights (default: the release’s own)')
    .addOption(
      new Option('--stage <stage>', 'which stage captions (default: both where there are two)').choices([
        'a',
        'b',
        'final',
        'both',
      ]),
    )
    .option('--prompt <text>', '“own” gives each stage the prompt it was trained with', 'own')
    .addOption(precisionOption())
    .addOption(providerOption())
    .option('--device <n>', 'which CUDA device, counted from 0', wholeNumber(0))
    .addOption(preprocessOption())
    .option('--auto-orient', 'turn images upright by EXIF first (the reference does not)', false)
    .option('--num-beams <n>', 'beams; 1 is greedy (default: 4)', wholeNumber(1))
    .option('--max-new-tokens <n>', 'most tokens of a caption (default: 60)', wholeNumber(1))
    .option('--min-new-tokens <n>', 'fewest tokens of a caption (default: 24)', wholeNumber(0))
    .addOption(noRepeatNgramSize())
    .option('--repetition-penalty <x>', 'penalty on tokens already used (default: 1.15)', anyNumber)
    .option('--length-penalty <x>', 'exponent of the length in a beam’s score (default: 0.6)', anyNumber)
    .option('--no-early-stopping', 'go on while a better beam is possible')
    .option('--bad-words <file>', 'phrases that may not be generated, one a line, spaces included')
    .addOption(
      new Option(
        '--algorithm <algorithm>',
        'whose rules of search and defaults: transformers’, or ClipCap’s (5 beams, 67 tokens, ends with a full stop)',
      ).choices(['transformers', 'clipcap']),
    )
    .option('--stop-text <text>', 'the one token that ends a caption, instead of end-of-text')
    .option('--do-sample', 'draw each token instead of taking the likeliest; with one beam')
    .option('--temperature <x>', 'of drawing: below 1 keeps to likely tokens (default: 1)', anyNumber)
    .option('--top-k <n>', 'draw among the n likeliest tokens; 0 is off (default: 50)', wholeNumber(0))
    .option('--top-p <x>', 'draw among the likeliest tokens of this mass; 1 is off (default: 1)', anyNumber)
    .option('--seed <n>', 'of drawing: another seed, another caption (default: 0)', wholeNumber(0))
    .option('--batch-size <n>', 'images decoded together', wholeNumber(1), 4)
    .option('--threads <n>', 'processor threads (default: one a core)', wholeNumber(1))
    .option('--cache <dir>', 'where hashes and computed weights are kept')
    .option('--json', 'one JSON line per image and stage', false)
    .action(async (images: string[], flags: CaptionFlags) => {
      const failed = await caption(images, flags);
      finish(failed > 0 ? EXIT_SOME_FAILED : 0);
    });
}

/** Commander takes every `--no-…` for the opposite of another option; this one is an option of its own. */
function noRepeatNgramSize(): Option {
  const option = new Option('--no-repeat-ngram-size <n>', 'no n-gram twice; 0 allows all (default: 4)');
  option.negate = false;
  return option.argParser(wholeNumber(0));
}

/** @returns how many images failed */
async function caption(images: string[], flags: CaptionFlags): Promise<number> {
  const { remoteCaptioner, remotePixels } = await import('@dermcap/models/remote');
  const { captionImages } = await import('../engine/pipeline.js');
  const { captionOutput } = await import('./caption-output.js');
  const { clipPath, demoReleaseDir, DEMO_RELEASE_NAME } = await import('../engine/releases.js');
  const releaseDir = flags.release ?? demoReleaseDir();
  const decoding = await decodingOf(flags);
  const { describeRelease } = await import('@dermcap/models/release');
  const description = await describeRelease(releaseDir);
  const stages = chooseStages(description, flags.stage);
  const ownTower = flags.clip === undefined ? description.clipDir : null;
  const clipDir = ownTower ?? clipPath(flags.clip) ?? undefined;
  const sources = await imageSources(images);
  const output = captionOutput({ json: flags.json, total: sources.length });
  const pixels = remotePixels();
  const captioner = await remoteCaptioner({
    releases: [{ dir: releaseDir, clipDir, stages }],
    provider: flags.provider,
    device: flags.device,
    precision: flags.precision,
    threads: flags.threads,
    cacheDir: flags.cache,
    onProgress: output.phase,
  });
  // Nobody reads any more: no need for another batch.
  const unread = new AbortController();
  process.stdout.once('error', () => unread.abort());
  let failed = 0;
  try {
    const releaseName = flags.release === undefined ? DEMO_RELEASE_NAME : captioner.releases[0]!.name;
    output.begin(captioner, releaseName);
    const prompt: PromptChoice =
      flags.prompt === 'own' ? { mode: 'own' } : { mode: 'text', text: flags.prompt };
    const { preprocess, autoOrient, batchSize } = flags;
    const job = { releaseName, prompt, decoding, preprocess, autoOrient, batchSize };
    for await (const results of captionImages(captioner, pixels.load, sources, job, unread.signal)) {
      for (const result of results) {
        if ('error' in result) failed++;
        output.result(result);
      }
    }
  } finally {
    output.end(failed);
    await Promise.all([captioner.end(), pixels.close()]);
  }
  return unread.signal.aborted ? 0 : failed;
}

async function decodingOf(flags: CaptionFlags): Promise<Decoding> {
  const { completeDecoding, DecodingOptions } = await import('../contract/index.js');
  const parsed = DecodingOptions.safeParse({
    numBeams: flags.numBeams,
    maxNewTokens: flags.maxNewTokens,
    minNewTokens: flags.minNewTokens,
    noRepeatNgramSize: flags.noRepeatNgramSize,
    repetitionPenalty: flags.repetitionPenalty,
    lengthPenalty: flags.lengthPenalty,
    earlyStopping: flags.earlyStopping,
    badWords: flags.badWords === undefined ? [] : await readPhrases(flags.badWords),
    algorithm: flags.algorithm,
    stopText: flags.stopText,
    doSample: flags.doSample,
    temperature: flags.temperature,
    topK: flags.topK,
    topP: flags.topP,
    seed: flags.seed,
  });
  if (parsed.success) return completeDecoding(parsed.data);
  const { path, message } = parsed.error.issues[0]!;
  const flag = String(path[0]).replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`);
  const { DermcapError } = await import('@dermcap/models/errors');
  throw new DermcapError('decoding-invalid', `--${flag} cannot be used: ${message}.`);
}

async function readPhrases(file: string): Promise<string[]> {
  try {
    // Spaces count: “ the” within a sentence is another token than “the” at its start.
    return (await readFile(file, 'utf8')).split(/\r?\n/).filter(line => line !== '');
  } catch (cause) {
    const { DermcapError } = await import('@dermcap/models/errors');
    throw new DermcapError('bad-words-unreadable', `The file ${file} with bad words cannot be read.`, {
      cause,
    });
  }
}
