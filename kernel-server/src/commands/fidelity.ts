/** `dermcap fidelity`: how faithful the fast precision is to the exact one, on one's own release and images. */
import Table from 'cli-table3';
import type { Fidelity, FidelityFigures, InputSpec } from '@dermcap/models';
import { Option, type Command } from 'commander';
import type { PreprocessMode, StageId } from '../contract/index.js';
import { EXIT_SOME_FAILED } from './failure.js';
import { chooseStages, imageSources } from './inputs.js';
import { wholeNumber } from './numbers.js';
import { preprocessOption } from './options.js';

interface FidelityFlags {
  release?: string;
  clip?: string;
  stage?: StageId | 'both';
  preprocess: PreprocessMode;
  autoOrient: boolean;
  batchSize: number;
  threads?: number;
  cache?: string;
  json: boolean;
}

/** @param finish told the exit code of a command that did its work */
export function defineFidelity(program: Command, finish: (exitCode: number) => void): void {
  program
    .command('fidelity')
    .description('measure on images how faithful fast captions are to exact ones')
    .argument('<image...>', 'image files or folders')
    .option('--release <dir>', 'folder with best_stageA.pt, best_stageB.pt (default: the demo release)')
    .option('--clip <dir>', 'folder of the vision tower (default: the release’s own)')
    .addOption(
      new Option('--stage <stage>', 'which stage (default: both where there are two)').choices([
        'a',
        'b',
        'final',
        'both',
      ]),
    )
    .addOption(preprocessOption())
    .option('--auto-orient', 'turn images upright by EXIF first (the reference does not)', false)
    .option('--batch-size <n>', 'images decoded together', wholeNumber(1), 4)
    .option('--threads <n>', 'processor threads (default: one a core)', wholeNumber(1))
    .option('--cache <dir>', 'where hashes and computed weights are kept')
    .option('--json', 'as JSON', false)
    .action(async (images: string[], flags: FidelityFlags) => {
      finish((await fidelity(images, flags)) > 0 ? EXIT_SOME_FAILED : 0);
    });
}

/** @returns how many images failed */
async function fidelity(names: string[], flags: FidelityFlags): Promise<number> {
  const { loadPixels, measureFidelity, openCaptioner } = await import('@dermcap/models');
  const { describeRelease } = await import('@dermcap/models/release');
  const { clipPath, demoReleaseDir } = await import('../engine/releases.js');
  const dir = flags.release ?? demoReleaseDir();
  const description = await describeRelease(dir);
  const ownTower = flags.clip === undefined ? description.clipDir : null;
  const release = {
    dir,
    clipDir: ownTower ?? clipPath(flags.clip) ?? undefined,
    stages: chooseStages(description, flags.stage),
  };
  const { threads, cache: cacheDir, preprocess, autoOrient, batchSize } = flags;
  const images = (await imageSources(names)).map(({ name, locate }) => ({
    name,
    load: async (inputs: readonly InputSpec[]) => ({
      pixels: await Promise.all(
        inputs.map(async input => loadPixels(await locate(), preprocess, input, { autoOrient })),
      ),
    }),
  }));
  const onProgress = (phase: string): void => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${phase}`);
  };
  const { failed, ...result } = await measureFidelity(
    // On the CPU: what `fast` is on a GPU is another thing.
    precision =>
      openCaptioner({ releases: [release], precision, provider: 'cpu', threads, cacheDir, onProgress }),
    images,
    { batchSize, onProgress },
  );
  onProgress('');
  const failures = failed.map(({ image, error: { code, message } }) => ({ image, error: { code, message } }));
  if (flags.json) {
    const report = { release: description.name, images: images.length, preprocess };
    process.stdout.write(`${JSON.stringify({ ...report, ...result, failed: failures }, null, 2)}\n`);
  } else {
    process.stdout.write(readable(result));
    for (const { image, error } of failures) process.stdout.write(`${image} failed: ${error.message}\n`);
  }
  return failed.length;
}

function readable({ stages, overall, different }: Fidelity): string {
  const table = new Table({
    head: [
      'Stage',
      'Captions',
      'Identical',
      'Tokens',
      'Same choice',
      'Log-probability error: mean',
      'p99',
      'max',
    ],
    colAligns: ['left', ...Array<'right'>(7).fill('right')],
    style: { head: [], border: [] },
  });
  const row = (name: string, figures: FidelityFigures) => [
    name,
    figures.captions,
    percent(figures.identicalShare),
    figures.tokens,
    percent(figures.argmaxAgreement),
    nats(figures.logProbabilityError.mean),
    nats(figures.logProbabilityError.p99),
    nats(figures.logProbabilityError.max),
  ];
  for (const { stage, ...figures } of stages)
    table.push(row(stage === 'final' ? 'Final' : stage.toUpperCase(), figures));
  if (stages.length > 1) table.push(row('All', overall));
  const lines = [
    table.toString(),
    'Same choice: of the tokens of the exact captions, those at which both would choose the same next.',
  ];
  for (const { image, stage, exact, fast } of different)
    lines.push('', `${image}, Stage ${stage.toUpperCase()}`, `  exact  ${exact}`, `  fast   ${fast}`);
  // File names and captions must not steer the terminal (CWE-150).
  return `${lines.join('\n').replace(/[^\P{Cc}\n]/gu, '\u{fffd}')}\n`;
}

function percent(share: number): string {
  return Number.isNaN(share) ? '–' : `${(100 * share).toFixed(share === 1 ? 0 : 2)} %`;
}

function nats(value: number): string {
  return Number.isNaN(value) ? '–' : value.toPrecision(2);
}
