/** `dermcap explain`: why a captioner says what it says about one image. */
import type { Explainer, Saliency } from '@dermcap/models';
import { Option, type Command } from 'commander';
import type { PreprocessMode, StageId } from '../contract/index.js';
import { chooseStages } from './inputs.js';
import type { AttentionDetail, ExplainedText } from './explain-report.js';
import { wholeNumber } from './numbers.js';
import { preprocessOption, providerOption } from './options.js';

interface ExplainFlags {
  release?: string;
  clip?: string;
  stage?: StageId | 'both';
  text?: string;
  prompt: string;
  topK: number;
  endOfText: boolean;
  attention: AttentionDetail;
  saliency?: 'occlusion' | 'masking';
  words?: string[];
  window?: number;
  stride?: number;
  masks?: number;
  batchSize: number;
  provider: 'auto' | 'cpu' | 'webgpu' | 'cuda';
  preprocess: PreprocessMode;
  autoOrient: boolean;
  threads?: number;
  cache?: string;
  json: boolean;
}

export function defineExplain(program: Command): void {
  program
    .command('explain')
    .description(
      'explain captions of one image: attention, likelihoods under each stage, where the stages part, saliency',
    )
    .argument('<image>', 'image file')
    .option('--release <dir>', 'folder with best_stageA.pt, best_stageB.pt (default: the demo release)')
    .option('--clip <dir>', 'folder of the vision tower (default: the release’s own)')
    .addOption(
      new Option('--stage <stage>', 'which stages read (default: both where there are two)').choices([
        'a',
        'b',
        'final',
        'both',
      ]),
    )
    .option('--text <text>', 'the text to explain (default: what each stage says of the image)')
    .option('--prompt <text>', '“own” gives each stage the prompt it was trained with', 'own')
    .option('--top-k <n>', 'alternatives named for each token', wholeNumber(1), 5)
    .option('--end-of-text', 'look at the end of the text too, as a last token', false)
    .addOption(
      new Option('--attention <detail>', 'in JSON: every layer and head, mean and maximum over them, or none')
        .choices(['full', 'mean', 'none'])
        .default('mean'),
    )
    .addOption(
      new Option(
        '--saliency <method>',
        'which parts of the image the likelihood rests on: cover each (occlusion), or show them alone (masking)',
      ).choices(['occlusion', 'masking']),
    )
    .option('--words <word...>', 'saliency of these words of the text instead of the whole')
    .option('--window <n>', 'occlusion: patches of the covered square’s side (default: 1)', wholeNumber(1))
    .option('--stride <n>', 'occlusion: patches from square to square (default: half of it)', wholeNumber(1))
    .option('--masks <n>', 'masking: activation maps that are used (default: 64)', wholeNumber(1))
    .option('--batch-size <n>', 'covered images computed together', wholeNumber(1), 8)
    .addOption(providerOption())
    .addOption(preprocessOption())
    .option('--auto-orient', 'turn the image upright by EXIF first (the reference does not)', false)
    .option('--threads <n>', 'processor threads (default: one a core)', wholeNumber(1))
    .option('--cache <dir>', 'where hashes and computed weights are kept')
    .option('--json', 'as JSON; its fields are described in the package’s README', false)
    .action(explain);
}

async function explain(image: string, flags: ExplainFlags): Promise<void> {
  const { loadPixels, openCaptioner, openExplainer } = await import('@dermcap/models');
  const { describeRelease } = await import('@dermcap/models/release');
  const { clipPath, demoReleaseDir, DEMO_RELEASE_NAME } = await import('../engine/releases.js');
  const { explainReport } = await import('./explain-report.js');
  const dir = flags.release ?? demoReleaseDir();
  const description = await describeRelease(dir);
  const ownTower = flags.clip === undefined ? description.clipDir : null;
  const clipDir = ownTower ?? clipPath(flags.clip) ?? undefined;
  const options = {
    releases: [{ dir, clipDir, stages: chooseStages(description, flags.stage) }],
    ...{ provider: flags.provider, threads: flags.threads, cacheDir: flags.cache },
    onProgress: say,
  };
  const prompt = flags.prompt === 'own' ? undefined : flags.prompt;
  const explainer = await openExplainer(options);
  try {
    const { autoOrient, preprocess } = flags;
    const pixels = await loadPixels(image, preprocess, explainer.inputs[0]!, { autoOrient });
    const texts: { text: string | number[]; writtenBy: number | null }[] = [];
    if (flags.text !== undefined) texts.push({ text: flags.text, writtenBy: null });
    else {
      const captioner = await openCaptioner(options);
      try {
        say('Captioning');
        const [captions] = await captioner.caption([pixels], { prompt });
        captions!.forEach(({ tokens }, writtenBy) => texts.push({ text: tokens, writtenBy }));
      } finally {
        await captioner.close();
      }
    }
    const explained: ExplainedText[] = [];
    for (const { text, writtenBy } of texts) {
      say('Reading');
      const { topK, endOfText } = flags;
      const request = { text, prompt, endOfText };
      const explanation = await explainer.explain(pixels, { ...request, topK });
      explained.push({ writtenBy, explanation, saliency: [] });
    }
    if (flags.saliency) await addSaliency(explainer, pixels, explained, prompt, flags);
    const vision = await explainer.visionRollout(pixels);
    say('');
    const releaseName = flags.release === undefined ? DEMO_RELEASE_NAME : explainer.releases[0]!.name;
    const report = explainReport(
      ...([image, releaseName, preprocess, explainer, vision, explained, flags.attention] as const),
    );
    const { readableExplanation } = await import('./explain-output.js');
    process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : readableExplanation(report));
  } finally {
    await explainer.close();
  }
}

/**
 * Saliency of every text under the stage that wrote it, of a given one under all. A text without the words asked for
 * goes without.
 * @throws DermcapError `word-missing` when no text has them
 */
async function addSaliency(
  explainer: Explainer,
  pixels: Float32Array,
  texts: ExplainedText[],
  prompt: string | undefined,
  flags: ExplainFlags,
): Promise<void> {
  const { DermcapError } = await import('@dermcap/models/errors');
  const method =
    flags.saliency === 'masking'
      ? ({ method: 'masking', masks: flags.masks } as const)
      : ({ method: 'occlusion', window: flags.window, stride: flags.stride } as const);
  let missing: unknown;
  const found: Saliency[] = [];
  for (const { writtenBy, explanation, saliency } of texts) {
    for (const { stage, tokens } of explanation.readings) {
      if (writtenBy !== null && stage !== writtenBy) continue;
      try {
        const map = await explainer.saliency(
          pixels,
          {
            ...method,
            ...{ stage, prompt, batchSize: flags.batchSize },
            text: tokens.map(({ id }) => id),
            target: flags.words && { words: flags.words },
          },
          { onProgress: (done, total) => say(`Saliency: ${done} of ${total} images`) },
        );
        saliency.push(map);
        found.push(map);
      } catch (error) {
        if (!(error instanceof DermcapError && error.code === 'word-missing')) throw error;
        missing ??= error;
      }
    }
  }
  if (found.length === 0) throw missing;
}

/** One line on the terminal that the next one replaces. */
function say(what: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${what}`);
}
