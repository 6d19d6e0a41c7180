import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createServer, ReleaseCatalogue, type DermcapServer } from '@dermcap/kernel-server';
import { CaptionList, Health, ReleaseList, Run, type RunEvent } from '@dermcap/kernel-server/contract';
import { describeRelease } from '@dermcap/models/release';
import { remoteCaptioner, remotePixels, type RemoteCaptioner } from '@dermcap/models/remote';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from './client.js';
import { makeStudy, RELEASE, TOWER, type Study } from './study.js';

const IMAGES = Array.from({ length: 12 }, (_, index) => `img${index + 1}.png`);

let study: Study;
let server: DermcapServer;
let client: Client;
let opened: RemoteCaptioner[];
const pixels = remotePixels();

beforeAll(async () => {
  study = await makeStudy();
  opened = [];
  server = await createServer({
    root: study.root,
    listen: { socketPath: study.socketPath },
    releases: new ReleaseCatalogue({
      paths: [RELEASE, join(study.base, 'nowhere')],
      clipDir: TOWER,
      demoDir: null,
      describe: describeRelease,
    }),
    engine: {
      open: async options => {
        const captioner = await remoteCaptioner(options);
        opened.push(captioner);
        return captioner;
      },
      loadPixels: pixels.load,
      provider: 'cpu',
    },
    cacheDir: study.cacheDir,
    batchSize: 2,
  });
  client = new Client(server.address);
});
afterAll(async () => {
  await Promise.all([server.close(), pixels.close()]);
  await rm(study.base, { recursive: true });
});

async function start(images: string[], rest: object = {}): Promise<string> {
  const answer = await client.post('/runs', { images, release: 'shared-pair', ...rest });
  expect(answer.status, answer.body.toString()).toBe(201);
  const run = Run.parse(answer.json());
  expect(answer.headers.location).toBe(`/api/runs/${run.id}`);
  return run.id;
}

async function events(runId: string, lastEventId?: number): Promise<{ id: number; event: RunEvent }[]> {
  const all = [];
  for await (const numbered of client.follow(runId, lastEventId)) all.push(numbered);
  return all;
}

function lastRun(all: { event: RunEvent }[]): Run {
  const { event } = all.at(-1)!;
  if (event.type !== 'run') throw new Error(`the stream ended with ${event.type}`);
  return event.run;
}

describe('releases', () => {
  it('lists the pair with its prompts, and what is wrong with a folder that holds none', async () => {
    const { releases } = ReleaseList.parse((await client.ask('/releases')).json());
    expect(releases.map(({ id, problem }) => [id, problem === null])).toEqual([
      ['shared-pair', true],
      ['nowhere', false],
    ]);
    expect(releases[0]!.stages.map(({ id }) => id)).toEqual(['a', 'b']);
    expect(releases[0]!.stages[0]!.prompt).toMatch(/^In ≤25 words/);
    const run = await client.post('/runs', { images: ['img1.png'], release: 'nowhere' });
    expect([run.status, run.json().error.code]).toEqual([409, 'broken-release']);
  });
});

describe('a run', () => {
  it('captions every image by both stages and tells of each that cannot be read', async () => {
    const images = ['img1.png', 'more/text.jpg', 'img2.png', 'more/none.png', 'link.png', 'more/turned.jpg'];
    const id = await start(images, { decoding: { maxNewTokens: 12, minNewTokens: 4 } });
    const all = await events(id);
    expect(lastRun(all)).toMatchObject({ state: 'done', total: 6, captioned: 3, failed: 3 });
    expect(lastRun(all).imagesPerSecond).toBeGreaterThan(0);
    const failures = all.flatMap(({ event }) => (event.type === 'failure' ? [event.failure] : []));
    expect(failures.map(({ image }) => image)).toEqual(['more/text.jpg', 'more/none.png', 'link.png']);
    expect(failures[0]!.error.message).toContain('more/text.jpg');
    expect(JSON.stringify(failures)).not.toContain(study.base);
    expect(failures.slice(1).map(({ error }) => error.code)).toEqual(['no-such-file', 'path-outside-root']);
    const captions = all.flatMap(({ event }) => (event.type === 'captions' ? event.captions : []));
    expect(captions.map(({ image, stage }) => `${image} ${stage}`)).toEqual([
      'img1.png a',
      'img1.png b',
      'img2.png a',
      'img2.png b',
      'more/turned.jpg a',
      'more/turned.jpg b',
    ]);
    for (const caption of captions) {
      expect(caption.tokens.length).toBeLessThanOrEqual(12);
      expect(caption).toMatchObject({
        release: { name: 'shared-pair', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
        clip: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
        decoding: { numBeams: 4, maxNewTokens: 12, minNewTokens: 4 },
        precision: 'exact',
        autoOrient: true,
      });
    }
    const listed = CaptionList.parse((await client.ask('/captions?folder=more')).json());
    expect(listed.captions.map(({ image }) => image)).toEqual(['more/turned.jpg', 'more/turned.jpg']);
    expect(listed.failures.map(({ image }) => image)).toEqual(['more/text.jpg', 'more/none.png']);
  });

  it('can be followed by several, left and taken up again without a gap', async () => {
    const id = await start(IMAGES, {
      stages: ['a'],
      decoding: { numBeams: 1, maxNewTokens: 30, minNewTokens: 30 },
    });
    const early: number[] = [];
    const seen: string[] = [];
    for await (const numbered of client.follow(id)) {
      early.push(numbered.id);
      if (numbered.event.type === 'captions') seen.push(numbered.event.image);
      if (seen.length === 3) break;
    }
    const [rest, whole] = await Promise.all([events(id, early.at(-1)!), events(id)]);
    expect(Math.min(...rest.map(numbered => numbered.id))).toBeGreaterThan(early.at(-1)!);
    const images = (list: typeof rest) =>
      list.flatMap(({ event }) => (event.type === 'captions' ? [event.image] : []));
    expect([...seen, ...images(rest)]).toEqual(IMAGES);
    expect(images(whole)).toEqual(IMAGES);
    const ids = whole.map(numbered => numbered.id);
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
    expect(await events(id, ids.at(-1)!)).toEqual([]);
  });

  it('stops after its batch when it is cancelled', async () => {
    const id = await start(IMAGES);
    for await (const { event } of client.follow(id)) {
      if (event.type === 'captions') break;
    }
    const answer = await client.post(`/runs/${id}/cancel`, {});
    expect(answer.status).toBe(200);
    const run = lastRun(await events(id));
    expect(run.state).toBe('cancelled');
    expect(run.captioned).toBeGreaterThan(0);
    expect(run.captioned).toBeLessThan(12);
    expect(Run.parse((await client.ask(`/runs/${id}`)).json())).toEqual(run);
  });

  it('fails in words when the model worker dies, and the next one works', async () => {
    const id = await start(IMAGES, { stages: ['b'] });
    for await (const { event } of client.follow(id)) {
      if (event.type === 'captions') break;
    }
    await opened.at(-1)!.end();
    const run = lastRun(await events(id));
    expect(run).toMatchObject({ state: 'failed', detail: expect.stringMatching(/model worker stopped/) });
    const before = opened.length;
    const next = lastRun(await events(await start(['img1.png'], { stages: ['b'] })));
    expect(next).toMatchObject({ state: 'done', captioned: 1 });
    expect(opened.length).toBe(before + 1);
  });

  it('leaves the server free to answer', async () => {
    const id = await start(IMAGES, { decoding: { minNewTokens: 60 } });
    const latencies: number[] = [];
    const states = new Set<string>();
    let following = true;
    const follower = events(id).finally(() => (following = false));
    while (following) {
      const startMs = performance.now();
      const health = Health.parse((await client.ask('/health')).json());
      latencies.push(performance.now() - startMs);
      states.add(health.engine.state);
      await new Promise(resolve => setTimeout(resolve, 5));
    }
    expect(lastRun(await follower).state).toBe('done');
    expect(states).toContain('busy');
    const slowest = Math.max(...latencies);
    console.info(
      `health while decoding: ${latencies.length} answers, slowest ${slowest.toFixed(1)} ms, ` +
        `median ${latencies.sort((a, b) => a - b)[latencies.length >> 1]!.toFixed(1)} ms`,
    );
    expect(slowest).toBeLessThan(500);
  });

  it.each(['GET', 'POST'])('that is not known is a 404 (%s)', async method => {
    const path = method === 'GET' ? '/runs/no-such-id/events' : '/runs/no-such-id/cancel';
    const answer = await client.ask(path, { method });
    expect([answer.status, answer.json().error.code]).toEqual([404, 'no-such-run']);
  });
});
