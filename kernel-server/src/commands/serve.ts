/** `dermcap serve`: the server, until it is told to stop or the program that started it has gone. */
import { fstatSync } from 'node:fs';
import { Option, type Command } from 'commander';
import type { DermcapServer } from '../http/server.js';
import { wholeNumber } from './numbers.js';
import { precisionOption, providerOption } from './options.js';
import { openCatalogue, releaseOptions, type ReleaseFlags } from './releases.js';

/** A clean exit waits for the model's native call to return; after this the process goes anyway. */
const STOP_WITHIN_MS = 2500;

/** With eight busy processes on two cores the 99th percentile of health fell from 70 to 25 ms. */
const WORKER_NICENESS = 5;

interface ServeFlags extends ReleaseFlags {
  socket?: string;
  port?: number;
  root: string;
  cache?: string;
  provider: 'auto' | 'cpu' | 'webgpu' | 'cuda';
  device?: number;
  precision: 'exact' | 'fast';
  threads?: number;
  batchSize: number;
  logLevel: string;
}

export function defineServe(program: Command): void {
  releaseOptions(program.command('serve').description('serve images and caption runs to JupyterLab'))
    .addOption(
      new Option('--socket <path>', 'Unix socket to listen on, in a folder of mode 0700').conflicts('port'),
    )
    .option('--port <n>', 'port of 127.0.0.1 instead, for development (0: any)', wholeNumber(0))
    .requiredOption('--root <dir>', 'folder whose images are served')
    .option('--cache <dir>', 'where thumbnails and computed weights are kept')
    .addOption(providerOption())
    .option('--device <n>', 'which CUDA device, counted from 0', wholeNumber(0))
    .addOption(precisionOption().env('DERMCAP_PRECISION'))
    .option('--threads <n>', 'processor threads (default: one a core)', wholeNumber(1))
    .option('--batch-size <n>', 'images decoded together', wholeNumber(1), 4)
    .addOption(
      new Option('--log-level <level>', 'what is logged to stderr')
        .choices(['debug', 'info', 'warn', 'error', 'silent'])
        .default('info')
        .env('DERMCAP_LOG_LEVEL'),
    )
    .action(serve);
}

async function serve(flags: ServeFlags): Promise<void> {
  const { DermcapError } = await import('@dermcap/models/errors');
  if (flags.socket === undefined && flags.port === undefined) {
    throw new DermcapError('nowhere-to-listen', 'serve needs a place to listen.', {
      hint: 'Name one with --socket PATH, or --port N for development.',
    });
  }
  const { pino } = await import('pino');
  const { remoteCaptioner, remotePixels } = await import('@dermcap/models/remote');
  const { createServer } = await import('../http/server.js');
  const stderr = pino.destination({ dest: 2, sync: true });
  // Whoever read the log may be gone before us: that must not keep the server from ending in order.
  stderr.on('error', () => undefined);
  const logger = pino({ name: 'dermcap', level: flags.logLevel }, stderr);
  const worker = { niceness: WORKER_NICENESS };
  const pixels = remotePixels(worker);
  const server = await createServer({
    root: flags.root,
    listen: flags.socket === undefined ? { port: flags.port! } : { socketPath: flags.socket },
    releases: await openCatalogue(flags),
    engine: {
      open: options => remoteCaptioner(options, worker),
      loadPixels: pixels.load,
      provider: flags.provider,
      precision: flags.precision,
      ...(flags.device === undefined ? {} : { device: flags.device }),
      ...(flags.threads === undefined ? {} : { threads: flags.threads }),
    },
    batchSize: flags.batchSize,
    ...(flags.cache === undefined ? {} : { cacheDir: flags.cache }),
    logger,
  });
  process.stdout.write(
    `DermCap listens on ${server.address}${server.token === null ? '' : `, token ${server.token}`}\n`,
  );
  const reason = await untilTold();
  logger.info({ reason }, 'stopping');
  await stop(server, pixels.close);
}

/** Resolves on SIGTERM, SIGINT, or when the pipe on standard input ends with the program that held it. */
function untilTold(): Promise<string> {
  return new Promise(resolve => {
    process.on('SIGTERM', () => resolve('SIGTERM'));
    process.on('SIGINT', () => resolve('SIGINT'));
    if (!holdsStdin()) return;
    process.stdin.once('end', () => resolve('standard input ended'));
    process.stdin.once('close', () => resolve('standard input closed'));
    process.stdin.once('error', () => resolve('standard input failed'));
    process.stdin.resume();
  });
}

/** Whether someone holds the other end of standard input: a pipe, not a terminal, a file or /dev/null. */
function holdsStdin(): boolean {
  try {
    const stdin = fstatSync(0);
    return stdin.isFIFO() || stdin.isSocket();
  } catch {
    return false;
  }
}

async function stop(server: DermcapServer, closePixels: () => Promise<void>): Promise<never> {
  // Not process.exit: within a native call of the model it aborts with a message that frightens people.
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), STOP_WITHIN_MS);
  await Promise.all([server.close(), closePixels()]);
  process.exit(0);
}
