import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { StageId } from '@dermcap/models';
import { DermcapError } from '@dermcap/models/errors';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RunRequest, type Run } from '../contract/index.js';
import { Engine } from '../engine/engine.js';
import { ReleaseCatalogue } from '../engine/releases.js';
import { ModelTurns } from './model-turns.js';
import { Runs } from './runs.js';
import { ScriptedModel } from './testing.js';

let root: string;
let model: ScriptedModel;
let engine: Engine;
let runs: Runs;

beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'dermcap-runs-')));
  const names = ['1.png', '2.png', '3.png', '4.png', '5.png', 'broken.png'];
  await Promise.all(names.map(name => writeFile(join(root, name), '')));
});
afterAll(() => rm(root, { recursive: true }));

beforeEach(async () => {
  model = new ScriptedModel();
  engine = new Engine(model);
  const releases = new ReleaseCatalogue({
    paths: [join(root, 'pair'), join(root, 'bad')],
    clipDir: join(root, 'clip'),
    demoDir: null,
    describe: async dir => ({
      name: basename(dir),
      stages: (['a', 'b'] as StageId[]).map(id => ({ id, label: id, file: `${id}.pt`, prompt: null })),
      clipDir: null,
    }),
  });
  const log = { info: () => undefined, error: () => undefined };
  runs = new Runs({ root, engine, turns: new ModelTurns(), releases, batchSize: 2, log });
});
afterEach(async () => {
  await Promise.all([runs.close(), engine.close()]);
});

function request(images: string[], rest: object = {}): RunRequest {
  return RunRequest.parse({ images, release: 'pair', ...rest });
}

async function until(id: string, condition: (run: Run) => boolean): Promise<Run> {
  const patience = AbortSignal.timeout(5000);
  while (!condition(runs.get(id))) {
    await runs.events(id).changed(patience);
    if (patience.aborted) throw new Error(`still ${JSON.stringify(runs.get(id))}`);
  }
  return runs.get(id);
}

const ended = (run: Run): boolean => run.finishedMs !== null;

describe('Runs', () => {
  it('captions in batches, in order, and reports what cannot be read', async () => {
    const { id } = await runs.start(
      request(['2.png', 'broken.png', './2.png', 'missing.png', '1.png', '3.png']),
    );
    const run = await until(id, ended);
    expect(run).toMatchObject({
      state: 'done',
      total: 5,
      captioned: 3,
      failed: 2,
      detail: '3 of 5 images captioned, 2 could not be read.',
    });
    const events = runs
      .events(id)
      .after(0, 100)
      .map(({ event }) => event);
    expect(events.map(event => (event.type === 'run' ? event.run.state : event.type))).toEqual([
      'captions',
      'failure',
      'failure',
      'captions',
      'captions',
      'done',
    ]);
    expect(events[0]).toMatchObject({
      image: '2.png',
      captions: [
        {
          stage: 'a',
          caption: 'by a',
          release: { name: 'pair', sha256: 'sha-a' },
          preprocess: 'train-centre',
        },
        { stage: 'b', caption: 'by b', release: { name: 'pair', sha256: 'sha-b' }, autoOrient: true },
      ],
    });
    expect(events[2]).toMatchObject({ failure: { image: 'missing.png', error: { code: 'no-such-file' } } });
    expect(model.batches).toEqual([1, 1, 1]);
  });

  it('reads the next batch while one decodes', async () => {
    const release = model.hold();
    const { id } = await runs.start(request(['1.png', '2.png', '3.png', '4.png', '5.png']));
    await until(id, run => run.state === 'running');
    await expect.poll(() => model.loaded.length).toBe(4);
    expect(model.batches).toEqual([2]);
    for (let batch = 0; batch < 3; batch++) release();
    expect((await until(id, ended)).captioned).toBe(5);
  });

  it('cancels at the next batch boundary and keeps what is done', async () => {
    const release = model.hold();
    const { id } = await runs.start(request(['1.png', '2.png', '3.png', '4.png', '5.png']));
    await expect.poll(() => model.batches.length).toBe(1);
    expect(runs.cancel(id)).toMatchObject({ state: 'running', detail: 'Stopping after this batch.' });
    release();
    expect(await until(id, ended)).toMatchObject({ state: 'cancelled', captioned: 2 });
    expect(model.batches).toEqual([2]);
    expect(runs.captions('').captions).toHaveLength(4);
    expect(runs.cancel(id).state).toBe('cancelled');
  });

  it('works one run at a time, and cancels a waiting one at once', async () => {
    const release = model.hold();
    const first = await runs.start(request(['1.png']));
    const second = await runs.start(request(['2.png']));
    const third = await runs.start(request(['3.png']));
    expect(runs.list().map(({ id }) => id)).toEqual([third.id, second.id, first.id]);
    expect(runs.cancel(second.id).state).toBe('cancelled');
    expect(runs.get(third.id).state).toBe('queued');
    release();
    release();
    await until(third.id, ended);
    expect(model.batches).toEqual([1, 1]);
    expect(model.opened).toBe(1);
  });

  it('opens anew for other stages and passes prompt and decoding on', async () => {
    await until((await runs.start(request(['1.png']))).id, ended);
    const other = request(['1.png'], {
      stages: ['b'],
      prompt: { mode: 'text', text: 'Say.' },
      decoding: { numBeams: 1 },
    });
    await until((await runs.start(other)).id, ended);
    expect(model.opened).toBe(2);
    expect(model.requests[0]).not.toHaveProperty('prompt');
    expect(model.requests[1]).toMatchObject({ prompt: 'Say.', decoding: { numBeams: 1, maxNewTokens: 60 } });
  });

  it('halves the batch when memory does not suffice, and says so', async () => {
    const release = model.hold();
    const { id } = await runs.start(request(['1.png', '2.png', '3.png', '4.png', '5.png']));
    model.failNext = new Error('std::bad_alloc');
    release();
    await expect.poll(() => runs.get(id).detail).toMatch(/did not suffice: going on with 1 image at a time/);
    for (let batch = 0; batch < 5; batch++) release();
    expect(await until(id, ended)).toMatchObject({ state: 'done', captioned: 5 });
    expect(model.batches).toEqual([2, 1, 1, 1, 1, 1]);
  });

  it('fails when not even one image fits into memory', async () => {
    const { id } = await runs.start(request(['1.png']));
    model.failNext = new Error('CUDA failure 2: out of memory');
    expect(await until(id, ended)).toMatchObject({
      state: 'failed',
      detail: 'CUDA failure 2: out of memory',
    });
  });

  it('fails a run whose worker stops, and the next run opens a new one', async () => {
    model.failNext = new DermcapError('worker-stopped', 'The model worker stopped.', {
      hint: 'Start again.',
    });
    const { id } = await runs.start(request(['1.png']));
    expect(await until(id, ended)).toMatchObject({
      state: 'failed',
      detail: 'The model worker stopped. Start again.',
    });
    expect(engine.state).toMatchObject({ state: 'failed', release: 'pair' });
    expect(await until((await runs.start(request(['1.png']))).id, ended)).toMatchObject({ state: 'done' });
    expect(model.opened).toBe(2);
    expect(engine.state).toMatchObject({ state: 'ready', provider: 'cpu' });
  });

  it('notices a worker that stops while nothing is asked of it', async () => {
    await until((await runs.start(request(['1.png']))).id, ended);
    model.crash();
    await expect.poll(() => engine.state.state).toBe('failed');
    expect(await until((await runs.start(request(['1.png']))).id, ended)).toMatchObject({ state: 'done' });
  });

  it('fails a run whose release does not open, with its sentence', async () => {
    const { id } = await runs.start(request(['1.png'], { release: 'bad' }));
    expect(await until(id, ended)).toMatchObject({ state: 'failed', detail: 'Keys are missing.' });
  });

  it.each([
    [{ release: 'nothing' }, 'no-such-release'],
    [{ stages: ['final'] }, 'no-such-stage'],
    [{ images: ['../x.png'] }, 'path-outside-root'],
  ])('refuses %j', async (rest, code) => {
    await expect(runs.start(request(['1.png'], rest))).rejects.toMatchObject({ code });
    expect(runs.list()).toEqual([]);
  });

  it('lists the newest captions below a folder, a new caption replacing a failure', async () => {
    await until((await runs.start(request(['late.png', '1.png']))).id, ended);
    expect(runs.captions('').failures).toMatchObject([{ image: 'late.png' }]);
    await writeFile(join(root, 'late.png'), '');
    await until((await runs.start(request(['late.png']))).id, ended);
    expect(runs.captions('').failures).toEqual([]);
    expect(runs.captions('').captions.map(({ image, stage }) => `${image} ${stage}`)).toEqual([
      '1.png a',
      '1.png b',
      'late.png a',
      'late.png b',
    ]);
    expect(runs.captions('1').captions).toEqual([]);
  });

  it('forgets old runs', async () => {
    const first = await runs.start(request(['1.png']));
    for (let n = 0; n < 20; n++) await until((await runs.start(request(['1.png']))).id, ended);
    expect(runs.list()).toHaveLength(20);
    expect(() => runs.get(first.id)).toThrow(expect.objectContaining({ code: 'no-such-run' }));
  });

  it('forgets a run of very many images as soon as another has ended', async () => {
    const many = Array.from({ length: 100_000 }, (_, n) => `${n}.png`);
    const release = model.hold();
    const large = await runs.start(request(many));
    runs.cancel(large.id);
    release();
    await until(large.id, ended);
    expect(runs.get(large.id).state).toBe('cancelled');
    await until((await runs.start(request(['1.png']))).id, ended);
    expect(runs.list().map(({ total }) => total)).toEqual([1]);
  });

  it('takes no more runs than it can keep waiting', async () => {
    const release = model.hold();
    for (let n = 0; n < 51; n++) await runs.start(request(['1.png']));
    await expect(runs.start(request(['1.png']))).rejects.toMatchObject({ code: 'too-many-runs' });
    for (const run of runs.list()) runs.cancel(run.id);
    release();
  });
});
