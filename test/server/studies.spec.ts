import { rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createServer, ReleaseCatalogue, type DermcapServer } from '@dermcap/kernel-server';
import {
  ErrorBody,
  Import,
  RatingResults,
  Study,
  StudyImagePage,
  StudyList,
} from '@dermcap/kernel-server/contract';
import { describeRelease } from '@dermcap/models/release';
import { remoteCaptioner, remotePixels } from '@dermcap/models/remote';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from './client.js';
import { makeStudy, type Study as Folder } from './study.js';

let folder: Folder;
let server: DermcapServer;
let client: Client;
let id: string;
const pixels = remotePixels();

beforeAll(async () => {
  folder = await makeStudy();
  server = await createServer({
    root: folder.root,
    listen: { socketPath: folder.socketPath },
    releases: new ReleaseCatalogue({ paths: [], clipDir: null, demoDir: null, describe: describeRelease }),
    engine: { open: remoteCaptioner, loadPixels: pixels.load, provider: 'cpu' },
    cacheDir: folder.cacheDir,
    url: 'http://localhost:8888/lab',
  });
  client = new Client(server.address);
  const made = await client.post('/studies', { path: 'more/naevi.dermcap', title: 'Naevi' });
  expect(made.status, made.body.toString()).toBe(201);
  ({ id } = Study.parse(made.json()));
  expect(made.headers.location).toBe(`/api/studies/${id}`);
});
afterAll(async () => {
  await Promise.all([server.close(), pixels.close()]);
  await rm(folder.base, { recursive: true });
});

const as = (name: string): Record<string, string> => ({
  'X-DermCap-User': encodeURIComponent(JSON.stringify({ username: name, display_name: name.toUpperCase() })),
});

describe('the API of studies', () => {
  it('lists, describes, closes and opens a study', async () => {
    const list = StudyList.parse((await client.ask('/studies?folder=more')).json());
    expect(list.studies).toMatchObject([{ id, path: 'more/naevi.dermcap', name: 'naevi' }]);
    expect((await client.post(`/studies/${id}/close`, {})).status).toBe(204);
    expect(Study.parse((await client.ask(`/studies/${id}`)).json())).toMatchObject({
      title: 'Naevi',
      images: 0,
      states: {},
      backup: null,
    });
  });

  it('knows who asks from Jupyter’s identity', async () => {
    expect((await client.ask('/me', { headers: as('ana') })).json()).toEqual({
      username: 'ana',
      displayName: 'ANA',
    });
  });

  it('refuses in words what leads out of the root, exists, or is no study', async () => {
    await writeFile(join(folder.root, 'other.dermcap'), 'text');
    await symlink(join(folder.base, 'outside'), join(folder.root, 'out'));
    const address = (path: string): string => `/studies/${Buffer.from(path).toString('base64url')}`;
    for (const [answer, status, code] of [
      [client.post('/studies', { path: '../x.dermcap' }), 403, 'path-outside-root'],
      [client.post('/studies', { path: 'out/x.dermcap' }), 403, 'path-outside-root'],
      [client.post('/studies', { path: 'more/naevi.dermcap' }), 409, 'study-exists'],
      [client.post('/studies', { path: 'nowhere/x.dermcap' }), 404, 'no-such-file'],
      [client.post('/studies', { path: 'more/x.sqlite' }), 422, 'not-a-study'],
      [client.post('/studies', { title: 1 }), 400, 'invalid-request'],
      [client.ask(address('other.dermcap')), 422, 'not-a-study'],
      [client.ask(address('none.dermcap')), 404, 'no-such-study'],
      [client.ask(address('../base.dermcap')), 404, 'no-such-study'],
      [client.ask('/studies/AA'), 404, 'no-such-study'],
      [client.ask(`/studies/${id}/images/0`), 400, 'invalid-request'],
      [client.ask(`/studies/${id}/images/77`), 404, 'no-such-image'],
    ] as const) {
      const { status: got, json } = await answer;
      expect([got, ErrorBody.parse(json()).error.code]).toEqual([status, code]);
    }
  });

  it('names every field that is wrong', async () => {
    const answer = await client.post(`/studies/${id}/images/query`, { limit: 0, filter: { ids: ['x'] } });
    expect(answer.json().error).toMatchObject({
      code: 'invalid-request',
      details: [{ field: 'filter.ids.0' }, { field: 'limit' }],
    });
  });

  it('keeps settings, views and the rubric', async () => {
    const patch = (body: object) => client.ask(`/studies/${id}/settings`, { method: 'PATCH', body });
    expect((await patch({ columns: { width: 3 }, gone: 1 })).json()).toMatchObject({
      title: 'Naevi',
      gone: 1,
    });
    expect((await patch({ gone: null })).json()).toEqual({ title: 'Naevi', columns: { width: 3 } });
    const view = { name: 'only/naevi', query: { text: 'x' } };
    await client.ask(`/studies/${id}/views`, { method: 'PUT', body: view, headers: as('ana') });
    expect((await client.ask(`/studies/${id}/views`)).json().views).toMatchObject([
      { ...view, createdBy: 'ana' },
    ]);
    expect((await client.ask(`/studies/${id}/views/only%2Fnaevi`, { method: 'DELETE' })).status).toBe(204);
    expect((await client.ask(`/studies/${id}/views/only%2Fnaevi`, { method: 'DELETE' })).status).toBe(404);
    const { rubric } = (await client.ask(`/studies/${id}/rubric`)).json();
    const changed = await client.ask(`/studies/${id}/rubric`, {
      method: 'PUT',
      body: { ...rubric, note: false },
    });
    expect(changed.json()).toMatchObject({ id: 2, rubric: { note: false } });
  });

  it('answers queries of an empty study, and refuses ratings of what it does not have', async () => {
    const page = StudyImagePage.parse((await client.post(`/studies/${id}/images/query`, {})).json());
    expect(page).toEqual({ total: 0, images: [], cursor: null });
    const events = [{ kind: 'undo', key: 'key-00001', rating: 'key-00000', clientMs: 1 }];
    const results = RatingResults.parse((await client.post(`/studies/${id}/ratings`, { events })).json());
    expect(results.results).toMatchObject([{ status: 'refused', error: { code: 'no-such-rating' } }]);
  });

  it('imports a folder, once however often, finds the images and shows them', async () => {
    const described = await client.post('/datasets/describe', { path: 'more' });
    expect(described.json()).toMatchObject({ kind: 'folder', preview: expect.any(Array) });
    for (const [added, updated] of [
      [4, 0],
      [0, 4],
    ]) {
      const started = await client.post(`/studies/${id}/imports`, { path: 'more' });
      expect(started.status, started.body.toString()).toBe(201);
      const address = `/studies/${id}/imports/${Import.parse(started.json()).id}`;
      await expect
        .poll(async () => (await client.ask(address)).json().state, { timeout: 60_000 })
        .toBe('done');
      expect((await client.ask(address)).json()).toMatchObject({
        added,
        updated,
        problems: { unreadable: 2 },
      });
    }
    const filter = { where: [{ column: 'state', in: ['ok'] }] };
    const page = StudyImagePage.parse((await client.post(`/studies/${id}/images/query`, { filter })).json());
    const turned = page.images.find(({ path }) => path === 'turned.jpg')!;
    expect(turned).toMatchObject({ width: 160, height: 240 });
    const thumbnail = await client.ask(`/studies/${id}/images/${turned.id}/thumbnail?size=64`);
    expect([thumbnail.status, thumbnail.headers['content-type']]).toEqual([200, 'image/webp']);
    const unreadable = await client.post(`/studies/${id}/images/query`, {
      filter: { where: [{ column: 'state', in: ['unreadable'] }] },
    });
    for (const { reason } of unreadable.json().images) expect(reason).toMatch(/cannot be read/);
    expect((await client.post(`/studies/${id}/imports`, { path: '../outside' })).status).toBe(403);
  });

  it('copies and checks a study in use', async () => {
    const copy = await client.post(`/studies/${id}/backup`, { path: 'copy.dermcap' });
    expect(copy.status).toBe(201);
    expect((await client.post(`/studies/${id}/backup`, { path: 'copy.dermcap' })).status).toBe(409);
    expect((await client.post(`/studies/${id}/check`, {})).json()).toEqual({ problems: [] });
    const restored = Buffer.from('copy.dermcap').toString('base64url');
    expect((await client.ask(`/studies/${restored}`)).json()).toMatchObject({ title: 'Naevi' });
  });
});
