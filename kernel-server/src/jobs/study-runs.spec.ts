import { rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { StageId } from '@dermcap/models';
import { DermcapError } from '@dermcap/models/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StudyRunRequest, type StudyRun, type StudyRunEvent } from '../contract/index.js';
import { Engine } from '../engine/engine.js';
import { ReleaseCatalogue } from '../engine/releases.js';
import { testStudy, type TestStudy } from '../study/testing.js';
import { ModelTurns } from './model-turns.js';
import { StudyRuns } from './study-runs.js';
import { ScriptedModel } from './testing.js';

const ANA = { username: 'ana' };
const NAMES = ['1.png', '2.png', '3.png', '4.png', '5.png'];

let test: TestStudy;
let model: ScriptedModel;
let engine: Engine;
let turns: ModelTurns;
let runs: StudyRuns;

beforeEach(async () => {
  test = await testStudy(Object.fromEntries([...NAMES, 'broken.png'].map(name => [name, name])));
  await test.import([...NAMES, 'broken.png', 'none.png'].map(path => ({ path })));
  model = new ScriptedModel();
  engine = new Engine(model);
  turns = new ModelTurns();
  runs = restart();
});
afterEach(async () => {
  await Promise.all([runs.close(), engine.close()]);
  await test.remove();
});

/** The runs as a server that has just been started sees them. */
function restart(): StudyRuns {
  const releases = new ReleaseCatalogue({
    paths: [join(test.folder, 'pair')],
    clipDir: test.folder,
    demoDir: null,
    describe: async dir => ({
      name: basename(dir),
      stages: (['a', 'b'] as StageId[]).map(id => ({ id, label: id, file: `${id}.pt`, prompt: null })),
      clipDir: null,
    }),
  });
  return new StudyRuns({
    engine,
    turns,
    releases,
    batchSize: 2,
    log: { info: () => undefined, error: () => undefined },
    locate: async (study, { path }) => {
      if (path.includes('gone')) throw new DermcapError('no-such-file', 'It is gone.');
      return join(study.folder, path);
    },
  });
}

const start = (rest: object = {}, study = test.study): Promise<StudyRun> =>
  runs.start(
    study,
    StudyRunRequest.parse({ release: 'pair', filter: { ids: [1, 2, 3, 4, 5] }, ...rest }),
    ANA,
  );

async function until(id: string, state: StudyRun['state']): Promise<StudyRun> {
  await expect.poll(async () => (await runs.get(test.study, id)).state, { timeout: 20_000 }).toBe(state);
  return runs.get(test.study, id);
}

async function events(id: string, after = 0): Promise<{ id: number | null; event: StudyRunEvent }[]> {
  const all = [];
  for await (const chunk of runs.follow(test.study, id, after, new AbortController().signal))
    all.push(...chunk);
  return all;
}

describe('StudyRuns', () => {
  it('captions every image by every stage, keeps the failures, and ends', async () => {
    const { id } = await start({ filter: {} });
    expect(await until(id, 'done')).toMatchObject({
      total: 7,
      captioned: 5,
      failed: 2,
      createdBy: 'ana',
      detail: '5 of 7 images captioned, 2 could not be captioned.',
    });
    const { failures } = await runs.failures(test.study, id, { after: 0, limit: 10 });
    expect(failures.map(({ path, error }) => `${path} ${error.code}`)).toEqual([
      'broken.png image-unreadable',
      'none.png image-missing',
    ]);
    const captions = await test.study.db.selectFrom('captions').selectAll().execute();
    expect(captions).toHaveLength(10);
  });

  it('makes no caption twice: a rerun costs nothing, and another prompt is another caption', async () => {
    await until((await start()).id, 'done');
    const batches = model.batches.length;
    const again = await start();
    expect(await until(again.id, 'done')).toMatchObject({ captioned: 5, failed: 0 });
    expect(model.batches).toHaveLength(batches);
    await until((await start({ prompt: { mode: 'text', text: 'Say.' } })).id, 'done');
    expect(model.batches.length).toBeGreaterThan(batches);
  });

  it('pauses at a batch boundary and goes on with what is left', async () => {
    const release = model.hold();
    const { id } = await start();
    await expect.poll(() => model.batches.length).toBe(1);
    await runs.pause(test.study, id);
    release();
    expect(await until(id, 'paused')).toMatchObject({
      captioned: 2,
      detail: 'Paused with 3 of 5 images left.',
    });
    await runs.resume(test.study, id);
    for (let batch = 0; batch < 3; batch++) release();
    expect(await until(id, 'done')).toMatchObject({ captioned: 5 });
    expect(model.batches).toEqual([2, 2, 1]);
    await expect(runs.resume(test.study, id)).rejects.toMatchObject({ code: 'run-has-ended' });
  });

  it('goes on after a crash with what is missing', async () => {
    const release = model.hold();
    const { id } = await start();
    await expect.poll(() => model.batches.length).toBe(1);
    release();
    await expect.poll(async () => (await runs.get(test.study, id)).captioned).toBe(2);
    // What a killed server leaves in the file.
    const closing = runs.close();
    release();
    await closing;
    await test.study.db.updateTable('runs').set({ state: 'running', detail: 'Captioning.' }).execute();
    runs = restart();
    const left = await runs.get(test.study, id);
    expect(left).toMatchObject({ state: 'paused', detail: expect.stringMatching(/server was stopped/) });
    const before = model.batches.reduce((sum, n) => sum + n, 0);
    await runs.resume(test.study, id);
    for (let batch = 0; batch < 5; batch++) release();
    expect(await until(id, 'done')).toMatchObject({ captioned: 5 });
    expect(model.batches.reduce((sum, n) => sum + n, 0) - before).toBe(5 - left.captioned);
  });

  it('cancels what waits at once and what works after its batch', async () => {
    const release = model.hold();
    const first = await start();
    const second = await start({ prompt: { mode: 'text', text: 'Other.' } });
    await expect.poll(() => model.batches.length).toBe(1);
    expect(await runs.cancel(test.study, second.id)).toMatchObject({ state: 'cancelled' });
    await runs.cancel(test.study, first.id);
    release();
    expect(await until(first.id, 'cancelled')).toMatchObject({ captioned: 2 });
    expect(model.batches).toEqual([2]);
  });

  it('lets a person who waits go before work in bulk, which then goes on', async () => {
    const release = model.hold();
    const bulk = await start();
    await expect.poll(() => model.batches.length).toBe(1);
    const person = await start({
      filter: { ids: [5] },
      priority: 'interactive',
      prompt: { mode: 'text', text: 'Now.' },
    });
    release();
    await expect.poll(() => model.batches).toEqual([2, 1]);
    expect(await runs.get(test.study, bulk.id)).toMatchObject({ state: 'queued', captioned: 2 });
    for (let batch = 0; batch < 5; batch++) release();
    await until(person.id, 'done');
    expect(await until(bulk.id, 'done')).toMatchObject({ captioned: 5 });
  });

  it('takes another priority while it waits', async () => {
    const release = model.hold();
    const first = await start();
    await expect.poll(() => model.batches.length).toBe(1);
    const second = await start({ filter: { ids: [1] }, prompt: { mode: 'text', text: 'B.' } });
    expect(await runs.prioritise(test.study, second.id, 'interactive')).toMatchObject({
      priority: 'interactive',
    });
    release();
    await expect.poll(() => model.batches).toEqual([2, 1]);
    for (let batch = 0; batch < 5; batch++) release();
    await until(first.id, 'done');
  });

  it('halves the batch when memory does not suffice, says so, and remembers it', async () => {
    model.failNext = new Error('onnxruntime: Failed to allocate memory for requested buffer of size 9');
    const { id } = await start();
    expect(await until(id, 'done')).toMatchObject({ captioned: 5, batchSize: 1 });
    expect(model.batches).toEqual([2, 1, 1, 1, 1, 1]);
    expect(engine.state.state).toBe('ready');
  });

  it('fails with its sentence when the model does, and is resumed once that is mended', async () => {
    model.failNext = new DermcapError('worker-stopped', 'The model worker stopped.', {
      hint: 'Start again.',
    });
    const { id } = await start();
    expect(await until(id, 'failed')).toMatchObject({ detail: 'The model worker stopped. Start again.' });
    await runs.resume(test.study, id);
    expect(await until(id, 'done')).toMatchObject({ captioned: 5 });
  });

  it('retries alone what failed', async () => {
    const { id } = await start({ filter: { ids: [1, 6] } });
    expect(await until(id, 'done')).toMatchObject({ captioned: 1, failed: 1 });
    await writeFile(join(test.folder, 'mended.png'), 'broken.png');
    await rm(join(test.folder, 'broken.png'));
    await test.import([{ path: 'mended.png' }]);
    const batches = model.batches.length;
    await runs.retry(test.study, id);
    expect(await until(id, 'done')).toMatchObject({ captioned: 2, failed: 0 });
    expect(model.batches.slice(batches)).toEqual([1]);
    expect(await runs.retry(test.study, id)).toMatchObject({ state: 'done' });
  });

  it('tells followers what they missed, also after a restart', async () => {
    const { id } = await start({ filter: { ids: [1, 2, 6] } });
    await until(id, 'done');
    const all = await events(id);
    expect(all.map(({ event }) => event.type)).toEqual(['captions', 'captions', 'failure', 'run']);
    expect(all.map(event => event.id)).toEqual([1, 2, 3, null]);
    await runs.close();
    runs = restart();
    expect((await events(id, 2)).map(({ event }) => event.type)).toEqual(['failure', 'run']);
    expect(all[0]!.event).toMatchObject({
      imageId: 1,
      path: '1.png',
      captions: [
        { stage: 'a', caption: 'by a', release: { name: 'pair', sha256: 'sha-a' } },
        { stage: 'b', caption: 'by b' },
      ],
    });
  });

  it('measures its speed and says how long the rest will take', async () => {
    const release = model.hold();
    const { id } = await start();
    await expect.poll(() => model.batches.length).toBe(1);
    expect(await runs.get(test.study, id)).toMatchObject({ imagesPerSecond: null, secondsLeft: null });
    release();
    await expect.poll(() => model.batches.length).toBe(2);
    const { imagesPerSecond, secondsLeft } = await runs.get(test.study, id);
    expect(secondsLeft).toBeCloseTo(3 / imagesPerSecond!);
    for (let batch = 0; batch < 3; batch++) release();
    await until(id, 'done');
  });

  it.each([
    [{ release: 'nothing' }, 'no-such-release'],
    [{ stages: ['final'] }, 'no-such-stage'],
    [{ filter: { where: [{ column: 'meta.none', in: [1] }] } }, 'no-such-column'],
  ])('refuses %j', async (rest, code) => {
    await expect(start(rest)).rejects.toMatchObject({ code });
    expect(await runs.list(test.study)).toEqual([]);
  });
});
