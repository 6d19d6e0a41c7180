#!/usr/bin/env node
/**
 * The `dermcap` command line. Each command loads what it needs when it runs, so that `--help` is quick.
 */
import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { defineCache } from './commands/cache.js';
import { defineCaption } from './commands/caption.js';
import { defineDataset } from './commands/dataset.js';
import { defineExplain } from './commands/explain.js';
import { EXIT_FAILED, reportFailure } from './commands/failure.js';
import { defineFidelity } from './commands/fidelity.js';
import { defineInspect } from './commands/inspect.js';
import { defineReleases } from './commands/releases.js';
import { defineServe } from './commands/serve.js';
import { defineStudy } from './commands/study.js';

const { version } = createRequire(import.meta.url)('../package.json') as { version: string };

/** Runs one command line and returns its exit code. */
async function main(argv: string[]): Promise<number> {
  const json = argv.includes('--json');
  const program = new Command('dermcap')
    .description(
      'Captions dermatology images by two stages of a captioner.\nResearch use only, not for clinical use.',
    )
    .version(version)
    .exitOverride();
  let exitCode = 0;
  const finish = (code: number): void => {
    exitCode = code;
  };
  defineCache(program);
  defineCaption(program, finish);
  defineDataset(program, finish);
  defineExplain(program);
  defineFidelity(program, finish);
  defineInspect(program);
  defineReleases(program);
  defineServe(program);
  defineStudy(program, finish);
  try {
    await program.parseAsync(argv);
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      // Commander has said it on stderr already.
      if (json) await reportFailure(error, { json, quiet: true });
      return EXIT_FAILED;
    }
    await reportFailure(error, { json });
    return EXIT_FAILED;
  }
}

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

process.exitCode = await main(process.argv);
