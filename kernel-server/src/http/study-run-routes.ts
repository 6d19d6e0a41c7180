/** The routes of a study's caption runs. */
import type { Request, Router } from 'express';
import { RunFailureQuery, StudyRunChange, StudyRunRequest, type StudyRun } from '../contract/index.js';
import type { StudyRuns } from '../jobs/study-runs.js';
import type { StudyFile } from '../study/open.js';
import type { Studies } from '../study/studies.js';
import { parse } from './errors.js';
import { lastEventId, streamEvents } from './events.js';
import { userOf } from './identity.js';

export interface StudyRunParts {
  studies: Studies;
  runs: StudyRuns;
  /** Aborts when the server closes, which ends event streams. */
  closing: AbortSignal;
}

export function addStudyRunRoutes(routes: Router, { studies, runs, closing }: StudyRunParts): void {
  const open = (request: Request): Promise<StudyFile> => studies.get(request.params['study'] as string);

  routes.get('/studies/:study/runs', async (request, response) => {
    response.json({ runs: await runs.list(await open(request)) });
  });

  routes.post('/studies/:study/runs', async (request, response) => {
    const wanted = parse(StudyRunRequest, request.body);
    const run = await runs.start(await open(request), wanted, userOf(request));
    response.status(201).location(`/api/studies/${request.params.study}/runs/${run.id}`).json(run);
  });

  routes.get('/studies/:study/runs/:run', async (request, response) => {
    response.json(await runs.get(await open(request), request.params.run));
  });

  routes.patch('/studies/:study/runs/:run', async (request, response) => {
    const { priority } = parse(StudyRunChange, request.body);
    response.json(await runs.prioritise(await open(request), request.params.run, priority));
  });

  const command = (name: string, perform: (study: StudyFile, id: string) => Promise<StudyRun>): void => {
    routes.post(`/studies/:study/runs/:run/${name}`, async (request, response) => {
      response.json(await perform(await open(request), request.params['run'] as string));
    });
  };
  command('pause', (study, id) => runs.pause(study, id));
  command('resume', (study, id) => runs.resume(study, id));
  command('cancel', (study, id) => runs.cancel(study, id));
  command('retry', (study, id) => runs.retry(study, id));

  routes.get('/studies/:study/runs/:run/failures', async (request, response) => {
    const page = parse(RunFailureQuery, request.query);
    response.json(await runs.failures(await open(request), request.params.run, page));
  });

  routes.get('/studies/:study/runs/:run/events', async (request, response) => {
    const study = await open(request);
    const { run } = request.params;
    await runs.get(study, run);
    const from = lastEventId(request.get('Last-Event-ID'));
    await streamEvents(response, signal => runs.follow(study, run, from, signal), closing);
  });
}
