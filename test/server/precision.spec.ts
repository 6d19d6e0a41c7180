/** A server told to be fast captions in int8 and says so with every caption. */
import { rm } from 'node:fs/promises';
import { createServer, ReleaseCatalogue } from '@dermcap/kernel-server';
import { Health, Run } from '@dermcap/kernel-server/contract';
import { describeRelease } from '@dermcap/models/release';
import { remoteCaptioner, remotePixels } from '@dermcap/models/remote';
import { expect, it } from 'vitest';
import { Client } from './client.js';
import { makeStudy, RELEASE, TOWER } from './study.js';

it('captions in the precision it was started with', async () => {
  const study = await makeStudy();
  const pixels = remotePixels();
  const server = await createServer({
    root: study.root,
    listen: { socketPath: study.socketPath },
    releases: new ReleaseCatalogue({
      paths: [RELEASE],
      clipDir: TOWER,
      demoDir: null,
      describe: describeRelease,
    }),
    engine: { open: remoteCaptioner, loadPixels: pixels.load, provider: 'cpu', precision: 'fast' },
    cacheDir: study.cacheDir,
  });
  try {
    const client = new Client(server.address);
    const answer = await client.post('/runs', { images: ['img1.png'], release: 'shared-pair' });
    const captions = [];
    for await (const { event } of client.follow(Run.parse(answer.json()).id))
      if (event.type === 'captions') captions.push(...event.captions);
    expect(captions.map(({ precision }) => precision)).toEqual(['fast', 'fast']);
    expect(Health.parse((await client.ask('/health')).json()).engine.precision).toBe('fast');
  } finally {
    await Promise.all([server.close(), pixels.close()]);
    await rm(study.base, { recursive: true });
  }
});
