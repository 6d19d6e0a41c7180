import type { Caption, Run, RunEvent } from '@dermcap/kernel-server/contract';
import { describe, expect, it } from 'vitest';
import { RequestError } from '../client/error.js';
import { Results } from './results.js';
import { CaptionRun } from './run.js';

const started: Run = {
  id: 'r1',
  state: 'queued',
  detail: 'Waiting for its turn.',
  release: 'demo',
  stages: ['a', 'b'],
  total: 3,
  captioned: 0,
  failed: 0,
  createdMs: 0,
  finishedMs: null,
  imagesPerSecond: null,
};
const state = (run: Partial<Run>): RunEvent => ({ type: 'run', run: { ...started, ...run } });
const captions = (image: string): RunEvent => ({
  type: 'captions',
  image,
  captions: [{ image, stage: 'a', caption: `A of ${image}` } as Caption],
});
const failure = (image: string): RunEvent => ({
  type: 'failure',
  failure: { image, error: { code: 'image-truncated', message: `${image} is cut off.` } },
});

/** A server whose events the test hands out one by one. */
function server() {
  const waiting: ((event: RunEvent | Error) => void)[] = [];
  const cancelled: string[] = [];
  const client = {
    startRun: () => Promise.resolve(started),
    cancelRun: (id: string) => (cancelled.push(id), Promise.resolve(started)),
    async *runEvents(): AsyncGenerator<RunEvent, void, undefined> {
      for (;;) {
        const event = await new Promise<RunEvent | Error>(resolve => waiting.push(resolve));
        if (event instanceof Error) throw event;
        yield event;
        if (event.type === 'run' && ['done', 'cancelled', 'failed'].includes(event.run.state)) return;
      }
    },
  };
  const send = async (...events: (RunEvent | Error)[]) => {
    for (const event of events) {
      while (waiting.length === 0) await new Promise(resolve => setTimeout(resolve));
      waiting.shift()!(event);
      await new Promise(resolve => setTimeout(resolve));
    }
  };
  return { client, send, cancelled };
}

const images = ['1.png', '2.png', '3.png'];
const request = { release: 'demo' };

describe('CaptionRun', () => {
  it('tells queued from captioning, and keeps captions and failures', async () => {
    const { client, send } = server();
    const results = new Results();
    const run = new CaptionRun(client, results, images);
    const ended = run.start(request);
    expect(run.placeOf('1.png')).toBe('queued');
    await send(state({ state: 'running' }));
    expect(images.map(image => run.placeOf(image))).toEqual(['captioning', 'queued', 'queued']);
    await send(captions('1.png'), failure('2.png'), state({ state: 'running', captioned: 1, failed: 1 }));
    expect(images.map(image => run.placeOf(image))).toEqual([null, null, 'captioning']);
    await send(captions('3.png'), state({ state: 'done', captioned: 2, failed: 1 }));
    await ended;
    expect(run.active).toBe(false);
    expect(run.failures.map(({ image }) => image)).toEqual(['2.png']);
    expect(results.of('3.png').captions.a?.caption).toBe('A of 3.png');
    expect(results.of('2.png').failure?.message).toBe('2.png is cut off.');
  });

  it('keeps what is done after a cancel and knows what remains', async () => {
    const { client, send, cancelled } = server();
    const results = new Results();
    const run = new CaptionRun(client, results, images);
    const ended = run.start(request);
    await send(state({ state: 'running' }), captions('1.png'));
    void run.cancel();
    void run.cancel();
    expect(run.cancelling).toBe(true);
    await send(state({ state: 'cancelled', captioned: 1 }));
    await ended;
    expect(cancelled).toEqual(['r1']);
    expect(run.cancelling).toBe(false);
    expect(run.remaining).toEqual(['2.png', '3.png']);
    expect(run.placeOf('2.png')).toBeNull();
    expect(results.of('1.png').captions.a).toBeDefined();
  });

  it('keeps a cancel that comes before the server has accepted the run', async () => {
    const { client, send, cancelled } = server();
    const run = new CaptionRun(client, new Results(), images);
    const ended = run.start(request);
    void run.cancel();
    expect(run.cancelling).toBe(true);
    expect(cancelled).toEqual([]);
    await send(state({ state: 'cancelled' }));
    await ended;
    expect(cancelled).toEqual(['r1']);
    expect(run.active).toBe(false);
  });

  it('ends with the reason when the server has forgotten the run', async () => {
    const { client, send } = server();
    const run = new CaptionRun(client, new Results(), images);
    const ended = run.start(request);
    await send(state({ state: 'running' }), new RequestError('no-such-run', 'There is no run with this id.'));
    await ended;
    expect(run.active).toBe(false);
    expect(run.error?.code).toBe('no-such-run');
  });

  it('tells its views of many events at once, and of the last one without delay', async () => {
    const { client, send } = server();
    const run = new CaptionRun(client, new Results(), images);
    let told = 0;
    run.changed.connect(() => told++);
    const ended = run.start(request);
    await send(state({ state: 'running' }), captions('1.png'), captions('2.png'), captions('3.png'));
    const before = told;
    await send(state({ state: 'done', captioned: 3 }));
    await ended;
    expect(before).toBeLessThanOrEqual(3);
    expect(told).toBe(before + 1);
  });
});

describe('Results', () => {
  it('takes a failure away with a new caption and keeps captions through a failure', () => {
    const results = new Results();
    results.addEvent(failure('1.png'));
    results.addEvent(captions('1.png'));
    expect(results.of('1.png').failure).toBeNull();
    results.addEvent(failure('1.png'));
    expect(results.of('1.png').captions.a).toBeDefined();
  });
});
