import { rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { createServer, ReleaseCatalogue, type DermcapServer } from '@dermcap/kernel-server';
import { ErrorBody, Health, ImagePage } from '@dermcap/kernel-server/contract';
import { array, assert, asyncProperty, constantFrom } from 'fast-check';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from './client.js';
import { makeStudy, type Study } from './study.js';

let study: Study;
let server: DermcapServer;
let client: Client;

beforeAll(async () => {
  study = await makeStudy();
  server = await createServer({
    root: study.root,
    listen: { socketPath: study.socketPath },
    releases: new ReleaseCatalogue({
      paths: [],
      clipDir: null,
      demoDir: null,
      describe: () => Promise.reject(new Error('no release is named here')),
    }),
    engine: {
      open: () => Promise.reject(new Error('nothing is captioned here')),
      loadPixels: () => Promise.reject(new Error('nothing is captioned here')),
    },
    cacheDir: study.cacheDir,
  });
  client = new Client(server.address);
});
afterAll(async () => {
  await server.close();
  await rm(study.base, { recursive: true });
});

const query = (fields: Record<string, string>): string => `?${new URLSearchParams(fields)}`;

describe('listing', () => {
  it('pages through a folder in natural order', async () => {
    const first = ImagePage.parse((await client.ask('/images?limit=3&recursive=false')).json());
    expect(first).toMatchObject({ folder: '', total: 12, offset: 0 });
    expect(first.images.map(({ name }) => name)).toEqual(['img1.png', 'img2.png', 'img3.png']);
    const last = ImagePage.parse((await client.ask('/images?offset=11')).json());
    expect(last.total).toBe(16);
    expect(last.images.map(({ path }) => path)).toEqual([
      'img12.png',
      'more/empty.png',
      'more/scan.tiff',
      'more/text.jpg',
      'more/turned.jpg',
    ]);
  });

  it.each([
    ['/images?folder=nowhere', 404, 'no-such-file'],
    ['/images?folder=img1.png', 400, 'not-a-folder'],
    ['/images?limit=0', 400, 'invalid-request'],
    ['/images?recursive=perhaps', 400, 'invalid-request'],
    ['/images?folder=%E0%A4%A', 404, 'no-such-file'],
    ['/nothing', 404, 'no-such-route'],
    ['/runs/%E0%A4%A', 400, 'invalid-request'],
  ])('answers %s with %i %s', async (path, status, code) => {
    const answer = await client.ask(path);
    expect(answer.status).toBe(status);
    expect(ErrorBody.parse(answer.json()).error.code).toBe(code);
  });

  it('names the field that is wrong', async () => {
    const { error } = (await client.ask('/images?limit=5000')).json();
    expect(error.message).toMatch(/limit: /);
  });
});

describe('thumbnails', () => {
  it('are small upright WebP pictures that a browser may keep', async () => {
    const answer = await client.ask('/thumbnail?path=more/turned.jpg&size=64');
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({
      'content-type': 'image/webp',
      'cache-control': 'private, no-cache',
      'x-content-type-options': 'nosniff',
      etag: expect.stringMatching(/^"[0-9a-f]+"$/),
    });
    expect(await sharp(answer.body).metadata()).toMatchObject({ format: 'webp', width: 43, height: 64 });
    const versioned = await client.ask('/thumbnail?path=more/turned.jpg&size=64&v=17');
    expect(versioned.headers['cache-control']).toBe('private, max-age=31536000, immutable');
  });

  it('answer 304 while the file is the same, and anew when it changes', async () => {
    const path = '/thumbnail?path=img1.png&size=64';
    const etag = (await client.ask(path)).headers.etag!;
    const same = await client.ask(path, { headers: { 'If-None-Match': etag } });
    expect([same.status, same.body.length]).toEqual([304, 0]);
    await utimes(join(study.root, 'img1.png'), new Date(), new Date(Date.now() - 90_000));
    const changed = await client.ask(path, { headers: { 'If-None-Match': etag } });
    expect(changed.status).toBe(200);
    expect(changed.headers.etag).not.toBe(etag);
  });

  it.each(['more/text.jpg', 'more/empty.png', 'notes.txt'])('of %s say why there is none', async path => {
    const answer = await client.ask(`/thumbnail${query({ path })}`);
    expect(answer.status).toBe(422);
    const { error } = ErrorBody.parse(answer.json());
    expect(error).toMatchObject({
      code: 'image-unreadable',
      message: expect.stringContaining(path.split('/').at(-1)!),
    });
    expect(error.message).not.toContain(study.base);
  });
});

describe('images', () => {
  it('are sent as they are when a browser shows them, also in parts', async () => {
    const whole = await client.ask('/image?path=img2.png');
    expect(whole.headers).toMatchObject({
      'content-type': 'image/png',
      'content-security-policy': expect.stringContaining('sandbox'),
      'content-disposition': "inline; filename*=UTF-8''img2.png",
      'accept-ranges': 'bytes',
    });
    const part = await client.ask('/image?path=img2.png', { headers: { Range: 'bytes=8-15' } });
    expect(part.status).toBe(206);
    expect(part.body).toEqual(whole.body.subarray(8, 16));
    const beyond = await client.ask('/image?path=img2.png', { headers: { Range: 'bytes=99999999-' } });
    expect([beyond.status, beyond.json().error.code]).toEqual([416, 'range-not-satisfiable']);
    const again = await client.ask('/image?path=img2.png', {
      headers: { 'If-None-Match': whole.headers.etag! },
    });
    expect(again.status).toBe(304);
  });

  it('are converted when it does not', async () => {
    const answer = await client.ask('/image?path=more/scan.tiff');
    expect(answer.headers['content-type']).toBe('image/webp');
    expect(await sharp(answer.body).metadata()).toMatchObject({ width: 240, height: 160 });
  });

  it('are never a file that is no image', async () => {
    const answer = await client.ask('/image?path=notes.txt');
    expect([answer.status, answer.body.includes('not an image\n')]).toEqual([422, false]);
  });
});

describe('paths', () => {
  const routes = ['/image?path=', '/thumbnail?path=', '/images?folder=', '/captions?folder='];
  it.each([
    '../outside/secret.png',
    '..%2Foutside%2Fsecret.png',
    'more/../../outside/secret.png',
    '%2e%2e/outside/secret.png',
    '/etc/passwd',
    '%2Fetc%2Fpasswd',
    '..\\outside\\secret.png',
    '..%5Coutside%5Csecret.png',
    'img1.png%00.jpg',
    'link.png',
    'link-folder',
    'link-folder/secret.png',
    'link-folder/none.png',
    '....//../outside/secret.png',
    'file:///etc/passwd',
    '%252e%252e%252foutside%252fsecret.png',
  ])('%s leads nowhere', async path => {
    for (const route of routes) {
      const answer = await client.ask(route + path);
      if (route.startsWith('/captions') && answer.status === 200) {
        expect(answer.json()).toEqual({ captions: [], failures: [] });
        continue;
      }
      expect([403, 404], `${route}${path}: ${answer.status}`).toContain(answer.status);
      expect(ErrorBody.parse(answer.json()).error.message).not.toContain(study.base);
    }
  });

  it('outside the root are never sent, however they are put together', async () => {
    const secret = (await sharp(join(study.base, 'outside', 'secret.png')).toBuffer()).length;
    const part = constantFrom(
      '..',
      '%2e%2e',
      '.',
      '',
      'outside',
      'secret.png',
      'link-folder',
      'link.png',
      'root',
      '%2f',
      '\\',
      'more',
    );
    await assert(
      asyncProperty(array(part, { minLength: 1, maxLength: 6 }), async parts => {
        const answer = await client.ask(`/image?path=${parts.join('/')}`);
        expect(answer.status, parts.join('/')).not.toBe(200);
        expect(answer.body.length).not.toBe(secret);
      }),
      { numRuns: 300 },
    );
  });
});

describe('the rest', () => {
  it('says that it is well', async () => {
    expect(Health.parse((await client.ask('/health')).json())).toMatchObject({
      status: 'ok',
      contract: 1,
      rootName: 'root',
      engine: { state: 'idle' },
    });
  });

  it('serves its own description', async () => {
    const document = (await client.ask('/openapi.json')).json();
    expect(document.openapi).toMatch(/^3\.1\./);
    expect(Object.keys(document.paths)).toContain('/runs/{id}/events');
  });

  it.each([
    ['not JSON', '{', 'application/json'],
    ['no body', undefined, 'application/json'],
    ['another type', '{"images":["img1.png"],"release":"demo"}', 'text/plain'],
  ])('refuses a run with %s', async (_case, body, type) => {
    const answer = await client.ask('/runs', { method: 'POST', body, headers: { 'Content-Type': type } });
    expect([answer.status, answer.json().error.code]).toEqual([400, 'invalid-request']);
  });

  it('refuses a request too large to be meant', async () => {
    const answer = await client.post('/runs', `{"images":["${'x'.repeat(17 * 1024 * 1024)}"]}`);
    expect([answer.status, answer.json().error.code]).toEqual([413, 'body-too-large']);
  });

  it('keeps what it does not expect to itself', async () => {
    const answer = await client.ask('/releases');
    expect(answer.json()).toEqual({ releases: [] });
    const run = await client.post('/runs', { images: ['img1.png'], release: 'demo' });
    expect([run.status, run.json().error.code]).toEqual([404, 'no-such-release']);
  });
});
