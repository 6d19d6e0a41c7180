/**
 * The routes of the API. Each parses with the contract's schema, calls one function of a room, and sends.
 */
import { basename } from 'node:path';
import express, { type Express, type RequestHandler } from 'express';
import type { Logger } from 'pino';
import {
  CaptionQuery,
  CONTRACT_VERSION,
  ImageFileQuery,
  ImageQuery,
  RunRequest,
  ThumbnailQuery,
  type Health,
} from '../contract/index.js';
import type { ImageFolders } from '../datasets/listing.js';
import { resolveInside } from '../datasets/paths.js';
import type { Pictures } from '../datasets/pictures.js';
import type { Engine } from '../engine/engine.js';
import type { ReleaseCatalogue } from '../engine/releases.js';
import type { Imports } from '../jobs/imports.js';
import type { Runs } from '../jobs/runs.js';
import type { StudyRuns } from '../jobs/study-runs.js';
import type { Studies } from '../study/studies.js';
import { errorHandler, noSuchRoute, parse } from './errors.js';
import { lastEventId, streamEvents } from './events.js';
import { addImportRoutes } from './import-routes.js';
import { userOf } from './identity.js';
import { openApiDocument } from './openapi.js';
import { sendPicture } from './pictures.js';
import { addStudyRoutes } from './study-routes.js';
import { addStudyRunRoutes } from './study-run-routes.js';

/** Room for the paths of 100,000 images. */
const BODY_LIMIT = '16mb';

export interface AppParts {
  version: string;
  /** The root with its own links resolved. */
  root: string;
  folders: ImageFolders;
  pictures: Pictures;
  releases: ReleaseCatalogue;
  engine: Engine;
  runs: Runs;
  studies: Studies;
  studyRuns: StudyRuns;
  imports: Imports;
  log: Logger;
  /** Lets requests in, or answers them itself. */
  guard: RequestHandler;
  /** Aborts when the server closes, which ends event streams. */
  closing: AbortSignal;
}

/** Assembles the Express application; listens to nothing. */
export function createApp(parts: AppParts): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.set('query parser', 'simple');
  app.use(safeHeaders, parts.guard, express.json({ limit: BODY_LIMIT, strict: true }));
  app.use('/api', api(parts));
  app.use(noSuchRoute);
  app.use(errorHandler(parts.log));
  return app;
}

/** Answers are data for one page: never a document, never another site's, never kept unless a route says so. */
const safeHeaders: RequestHandler = (_request, response, next) => {
  response.set({
    'Cache-Control': 'no-store',
    'Content-Security-Policy': "sandbox; default-src 'none'; frame-ancestors 'none'",
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
  });
  next();
};

function api({
  root,
  folders,
  pictures,
  releases,
  engine,
  runs,
  studies,
  studyRuns,
  imports,
  log,
  version,
  closing,
}: AppParts): express.Router {
  const routes = express.Router();

  routes.get('/health', (_request, response) => {
    const health: Health = {
      status: 'ok',
      version,
      contract: CONTRACT_VERSION,
      pid: process.pid,
      uptimeS: process.uptime(),
      rootName: basename(root),
      engine: engine.state,
    };
    response.json(health);
  });

  routes.get('/releases', async (_request, response) => {
    const entries = await releases.list();
    response.json({ releases: entries.map(({ release }) => release) });
  });

  routes.get('/images', async (request, response) => {
    response.json(await folders.page(parse(ImageQuery, request.query)));
  });

  routes.get('/thumbnail', async (request, response) => {
    const { path, size, v } = parse(ThumbnailQuery, request.query);
    const picture = await pictures.thumbnail(await resolveInside(root, path), size);
    await sendPicture(response, picture, path, v !== undefined);
  });

  routes.get('/image', async (request, response) => {
    const { path, v } = parse(ImageFileQuery, request.query);
    const picture = await pictures.original(await resolveInside(root, path));
    await sendPicture(response, picture, path, v !== undefined);
  });

  routes.get('/captions', (request, response) => {
    response.json(runs.captions(parse(CaptionQuery, request.query).folder));
  });

  routes.get('/runs', (_request, response) => {
    response.json({ runs: runs.list() });
  });

  routes.post('/runs', async (request, response) => {
    const run = await runs.start(parse(RunRequest, request.body));
    log.info({ run: run.id, user: userOf(request).username, images: run.total }, 'run queued');
    response.status(201).location(`/api/runs/${run.id}`).json(run);
  });

  routes.get('/runs/:id', (request, response) => {
    response.json(runs.get(request.params.id));
  });

  routes.get('/runs/:id/events', async (request, response) => {
    const events = runs.events(request.params.id);
    const from = lastEventId(request.get('Last-Event-ID'));
    await streamEvents(response, signal => events.follow(from, signal), closing);
  });

  routes.post('/runs/:id/cancel', (request, response) => {
    response.json(runs.cancel(request.params.id));
  });

  addStudyRoutes(routes, { studies, pictures });
  addImportRoutes(routes, { root, studies, imports });
  addStudyRunRoutes(routes, { studies, runs: studyRuns, closing });

  const document = openApiDocument(version);
  routes.get('/openapi.json', (_request, response) => {
    response.json(document);
  });

  return routes;
}
