/** The routes of studies: parse, call one function of a room, send. */
import { stat } from 'node:fs/promises';
import type { Request, Response, Router } from 'express';
import {
  BackupRequest,
  FacetRequest,
  RatingBatch,
  RatingQuery,
  Rubric,
  SavedViewRequest,
  StudyFileQuery,
  StudyImageSearch,
  StudyQuery,
  StudyRequest,
  StudySettings,
  StudyThumbnailQuery,
} from '../contract/index.js';
import type { Pictures } from '../datasets/pictures.js';
import { captionsOf } from '../study/captions.js';
import { Columns } from '../study/columns.js';
import { blindImages, facets, imagePage, oneImage } from '../study/images.js';
import type { StudyFile } from '../study/open.js';
import { annotators, ratingPage, recordRatings } from '../study/ratings.js';
import { currentRubric, storeRubric } from '../study/rubric.js';
import { deleteView, listViews, readSettings, saveView, writeSettings } from '../study/settings.js';
import type { Studies } from '../study/studies.js';
import { parse, parseId } from './errors.js';
import { userOf } from './identity.js';
import { sendPicture } from './pictures.js';

export interface StudyParts {
  studies: Studies;
  pictures: Pictures;
}

/** Adds the routes below `/studies` to the API's. */
export function addStudyRoutes(routes: Router, { studies, pictures }: StudyParts): void {
  const open = (request: Request): Promise<StudyFile> => studies.get(request.params['study'] as string);

  routes.get('/me', (request, response) => {
    response.json(userOf(request));
  });

  routes.get('/studies', async (request, response) => {
    response.json(await studies.list(parse(StudyQuery, request.query).folder));
  });

  routes.post('/studies', async (request, response) => {
    const { path, title } = parse(StudyRequest, request.body);
    const study = await studies.create(path, title);
    response.status(201).location(`/api/studies/${study.id}`).json(study);
  });

  routes.get('/studies/:study', async (request, response) => {
    response.json(await studies.describe(request.params.study));
  });

  routes.post('/studies/:study/close', async (request, response) => {
    await studies.close(request.params.study);
    response.status(204).end();
  });

  routes.post('/studies/:study/backup', async (request, response) => {
    const { path } = parse(BackupRequest, request.body);
    const study = await open(request);
    const target = await studies.locateNew(path);
    await study.backupTo(target);
    response.status(201).json({ path, sizeBytes: (await stat(target)).size });
  });

  routes.post('/studies/:study/check', async (request, response) => {
    response.json({ problems: (await open(request)).check() });
  });

  routes.get('/studies/:study/settings', async (request, response) => {
    response.json(await readSettings((await open(request)).db));
  });

  routes.patch('/studies/:study/settings', async (request, response) => {
    const settings = parse(StudySettings, request.body);
    response.json(await writeSettings((await open(request)).db, settings));
  });

  routes.get('/studies/:study/columns', async (request, response) => {
    const columns = await Columns.load((await open(request)).db);
    response.json({ columns: columns.list() });
  });

  routes.post('/studies/:study/images/query', async (request, response) => {
    const query = parse(StudyImageSearch, request.body);
    response.json(await imagePage((await open(request)).db, query, userOf(request)));
  });

  routes.post('/studies/:study/facets', async (request, response) => {
    const query = parse(FacetRequest, request.body);
    response.json({ facets: await facets((await open(request)).db, query, userOf(request)) });
  });

  routes.get('/studies/:study/images/:image', async (request, response) => {
    const id = parseId(request.params.image);
    response.json(await oneImage((await open(request)).db, id, userOf(request)));
  });

  routes.get('/studies/:study/images/:image/captions', async (request, response) => {
    const id = parseId(request.params.image);
    const { db } = await open(request);
    await oneImage(db, id, userOf(request));
    const blind = (await blindImages(db, userOf(request).username, [id])).length > 0;
    response.json({ captions: blind ? [] : await captionsOf(db, id), blind });
  });

  const picture = async (
    request: Request,
    response: Response,
    versioned: boolean,
    make: (file: string) => ReturnType<Pictures['original']>,
  ): Promise<void> => {
    const study = await open(request);
    const image = await oneImage(study.db, parseId(request.params['image'] as string), userOf(request));
    const made = await make(await studies.locate(study, image.path));
    await sendPicture(response, made, image.name, versioned);
  };

  routes.get('/studies/:study/images/:image/thumbnail', async (request, response) => {
    const { size, v } = parse(StudyThumbnailQuery, request.query);
    await picture(request, response, v !== undefined, file => pictures.thumbnail(file, size));
  });

  routes.get('/studies/:study/images/:image/file', async (request, response) => {
    const { v } = parse(StudyFileQuery, request.query);
    await picture(request, response, v !== undefined, file => pictures.original(file));
  });

  routes.get('/studies/:study/rubric', async (request, response) => {
    response.json(await currentRubric((await open(request)).db, Date.now()));
  });

  routes.put('/studies/:study/rubric', async (request, response) => {
    const rubric = parse(Rubric, request.body);
    const { username } = userOf(request);
    response.json(await storeRubric((await open(request)).db, rubric, username, Date.now()));
  });

  routes.get('/studies/:study/ratings', async (request, response) => {
    const query = parse(RatingQuery, request.query);
    response.json(await ratingPage((await open(request)).db, query));
  });

  routes.post('/studies/:study/ratings', async (request, response) => {
    const { events } = parse(RatingBatch, request.body);
    const { db } = await open(request);
    response.json({ results: await recordRatings(db, events, userOf(request).username, Date.now()) });
  });

  routes.get('/studies/:study/annotators', async (request, response) => {
    response.json({ annotators: await annotators((await open(request)).db) });
  });

  routes.get('/studies/:study/views', async (request, response) => {
    response.json({ views: await listViews((await open(request)).db) });
  });

  routes.put('/studies/:study/views', async (request, response) => {
    const view = parse(SavedViewRequest, request.body);
    const createdBy = userOf(request).username;
    response.json(await saveView((await open(request)).db, { ...view, createdBy, createdMs: Date.now() }));
  });

  routes.delete('/studies/:study/views/:view', async (request, response) => {
    await deleteView((await open(request)).db, request.params.view);
    response.status(204).end();
  });
}
