/** The routes of imports. */
import type { Request, Router } from 'express';
import { DatasetRequest, ImportRequest, type DatasetDescription } from '../contract/index.js';
import { openDataset } from '../datasets/open.js';
import { resolveInside } from '../datasets/paths.js';
import type { Imports } from '../jobs/imports.js';
import type { StudyFile } from '../study/open.js';
import type { Studies } from '../study/studies.js';
import { parse } from './errors.js';

/** Records shown for the columns to be confirmed. */
const PREVIEW_RECORDS = 20;

export interface ImportParts {
  /** The root with its own links resolved. */
  root: string;
  studies: Studies;
  imports: Imports;
}

export function addImportRoutes(routes: Router, { root, studies, imports }: ImportParts): void {
  const open = (request: Request): Promise<StudyFile> => studies.get(request.params['study'] as string);

  routes.post('/datasets/describe', async (request, response) => {
    const { path } = parse(DatasetRequest, request.body);
    const dataset = await openDataset(await resolveInside(root, path));
    const { mapping, preset, confidence, why } = await dataset.guess();
    response.json({
      kind: dataset.kind,
      files: dataset.files,
      rows: dataset.count ?? null,
      columns: await dataset.columns(),
      mapping,
      preset,
      confidence,
      why,
      preview: await dataset.preview(PREVIEW_RECORDS),
    } satisfies DatasetDescription);
  });

  routes.get('/studies/:study/imports', async (request, response) => {
    response.json({ imports: imports.list(await open(request)) });
  });

  routes.post('/studies/:study/imports', async (request, response) => {
    const wanted = parse(ImportRequest, request.body);
    const study = await open(request);
    const job = await imports.start(study, await resolveInside(root, wanted.path), wanted);
    response.status(201).location(`/api/studies/${request.params.study}/imports/${job.id}`).json(job);
  });

  routes.get('/studies/:study/imports/:import', async (request, response) => {
    response.json(imports.get(await open(request), request.params.import));
  });

  routes.post('/studies/:study/imports/:import/cancel', async (request, response) => {
    response.json(await imports.cancel(await open(request), request.params.import));
  });
}
