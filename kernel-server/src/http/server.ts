/**
 * One server: its rooms assembled, listening, and closable. Nothing of it lives in module state.
 */
import { mkdir, realpath, stat } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { defaultCacheDir } from '@dermcap/models/cache';
import { DermcapError } from '@dermcap/models/errors';
import { pino, type Logger } from 'pino';
import { ImageFolders } from '../datasets/listing.js';
import { Pictures } from '../datasets/pictures.js';
import { Engine, type EngineOptions } from '../engine/engine.js';
import { DEFAULT_BATCH_SIZE } from '../engine/pipeline.js';
import type { ReleaseCatalogue } from '../engine/releases.js';
import { Imports } from '../jobs/imports.js';
import { ModelTurns } from '../jobs/model-turns.js';
import { Runs } from '../jobs/runs.js';
import { StudyRuns } from '../jobs/study-runs.js';
import { locateImage } from '../study/locate.js';
import { Studies } from '../study/studies.js';
import { createApp } from './app.js';
import { bearerGuard, listenOnLoopback, listenOnSocket, newToken, prepareSocket } from './listen.js';

/** Time that open connections get to finish when the server closes. */
const CLOSE_GRACE_MS = 1000;

export interface ServerOptions {
  /** Folder whose images are served; nothing outside it is. */
  root: string;
  /** Where to listen: a Unix socket, or a port of 127.0.0.1 (0 for any) for development. */
  listen: { socketPath: string } | { port: number };
  /** Where releases are found. */
  releases: ReleaseCatalogue;
  /** How captions are made. */
  engine: EngineOptions;
  /** Thumbnails and computed weights; default `~/.cache/dermcap`. */
  cacheDir?: string;
  /** Where the server's user sees it; told to others who try to open one of its studies. */
  url?: string;
  /** Images decoded together. */
  batchSize?: number;
  logger?: Logger;
}

export interface DermcapServer {
  /** Socket path, or `http://127.0.0.1:port`. */
  readonly address: string;
  /** The token every request must bring; null on a Unix socket. */
  readonly token: string | null;
  /** Stops taking requests, ends event streams and runs, and closes the engine. */
  close(): Promise<void>;
}

/** Version of this package. */
export function productVersion(): string {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
  return version;
}

/**
 * Starts a server.
 * @throws DermcapError `no-such-root`, or as `prepareSocket` does
 */
export async function createServer(options: ServerOptions): Promise<DermcapServer> {
  const log = options.logger ?? pino({ level: 'silent' });
  const root = await realRoot(options.root);
  const cacheDir = resolve(options.cacheDir ?? defaultCacheDir());
  await mkdir(cacheDir, { recursive: true, mode: 0o700 });
  const engine = new Engine({ cacheDir, ...options.engine });
  const work = {
    engine,
    turns: new ModelTurns(),
    releases: options.releases,
    batchSize: options.batchSize ?? DEFAULT_BATCH_SIZE,
    log,
  };
  const runs = new Runs({ root, ...work });
  const studies = new Studies(root, options.url ?? null);
  const studyRuns = new StudyRuns({ ...work, locate: (study, image) => locateImage(studies, study, image) });
  studies.onClose(study => studyRuns.release(study));
  const imports = new Imports();
  studies.onClose(study => imports.release(study));
  const token = 'port' in options.listen ? newToken() : null;
  const closing = new AbortController();
  const app = createApp({
    version: productVersion(),
    root,
    folders: new ImageFolders(root),
    pictures: new Pictures(cacheDir),
    releases: options.releases,
    engine,
    runs,
    studies,
    studyRuns,
    imports,
    log,
    guard: bearerGuard(token),
    closing: closing.signal,
  });
  // Longer than the proxy keeps an idle connection, so that it never writes into one we are closing.
  const server = createHttpServer({ keepAliveTimeout: 60_000 }, app);
  let address: string;
  if ('port' in options.listen) {
    address = `http://127.0.0.1:${await listenOnLoopback(server, options.listen.port)}`;
  } else {
    address = await prepareSocket(options.listen.socketPath);
    await listenOnSocket(server, address);
  }
  log.info({ pid: process.pid }, 'server listens');
  log.debug({ root, cacheDir, address }, 'server paths');

  let closed: Promise<void> | null = null;
  const close = async (): Promise<void> => {
    const stopped = new Promise<void>(done => server.close(() => done()));
    closing.abort();
    server.closeIdleConnections();
    const forced = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
    await Promise.all([runs.close(), studyRuns.close(), engine.close(), stopped]);
    clearTimeout(forced);
    await studies.closeAll();
    log.info('server closed');
  };
  return { address, token, close: () => (closed ??= close()) };
}

async function realRoot(root: string): Promise<string> {
  try {
    const real = await realpath(resolve(root));
    if ((await stat(real)).isDirectory()) return real;
  } catch {
    // Said below, as for a file.
  }
  throw new DermcapError('no-such-root', `The root folder ${root} does not exist.`, {
    hint: 'Name an existing folder with --root.',
  });
}
