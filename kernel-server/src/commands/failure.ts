/** How a whole command fails: a sentence and a hint on stderr, or one JSON object on stdout. */
import { CommanderError } from 'commander';

/** Some images failed, all others are done. */
export const EXIT_SOME_FAILED = 1;
/** The command could not do its work. */
export const EXIT_FAILED = 2;

/** @param quiet leaves stderr alone */
export async function reportFailure(
  error: unknown,
  { json, quiet = false }: { json: boolean; quiet?: boolean },
): Promise<void> {
  const { code, message, hint } = await describe(error);
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ error: { code, message, ...(hint === undefined ? {} : { hint }) } })}\n`,
    );
  }
  if (quiet) return;
  process.stderr.write(`dermcap: ${message}\n${hint === undefined ? '' : `  ${hint}\n`}`);
}

async function describe(error: unknown): Promise<{ code: string; message: string; hint?: string }> {
  if (error instanceof CommanderError) {
    return { code: 'usage', message: error.message.replace(/^error: /, ''), hint: 'See dermcap --help.' };
  }
  const { DermcapError } = await import('@dermcap/models/errors');
  if (error instanceof DermcapError) {
    const { code, message, hint } = error;
    return { code, message, ...(hint === undefined ? {} : { hint }) };
  }
  if (process.env['DERMCAP_DEBUG']) process.stderr.write(`${(error as Error).stack}\n`);
  return {
    code: 'internal',
    message: error instanceof Error ? error.message : String(error),
    hint: 'Set DERMCAP_DEBUG=1 to see where it happened.',
  };
}
