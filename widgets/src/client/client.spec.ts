import { CONTRACT_VERSION } from '@dermcap/kernel-server/contract';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { describe, expect, it } from 'vitest';
import { DermcapClient } from './client.js';

type Answer = (request: Request) => Response | Promise<Response>;

function clientWith(answer: Answer): DermcapClient {
  const serverSettings = ServerConnection.makeSettings({
    baseUrl: 'http://127.0.0.1:8888/hub/user/ada/',
    token: 'secret',
    fetch: request => Promise.resolve(answer(request as Request)),
  });
  return new DermcapClient({ trans: nullTranslator.load('dermcap'), serverSettings });
}

const json = (body: unknown, status = 200) => new Response(JSON.stringify(body), { status });
const engine = {
  state: 'idle',
  detail: '',
  release: null,
  provider: null,
  providerReason: null,
  precision: null,
};
const health = {
  status: 'ok',
  version: '0.1.0',
  contract: CONTRACT_VERSION,
  pid: 1,
  uptimeS: 1,
  rootName: 'study',
  engine,
};

describe('DermcapClient', () => {
  it('asks below the Jupyter base address and signs in by header, never in the address', async () => {
    let seen: Request | undefined;
    const client = clientWith(request => {
      seen = request;
      return json({ folder: 'a b/ä', total: 0, offset: 0, images: [] });
    });
    await client.images('a b/ä', 200, 100);
    const url = new URL(seen!.url);
    expect(url.pathname).toBe('/hub/user/ada/dermcap/api/images');
    expect(url.searchParams.get('folder')).toBe('a b/ä');
    expect(url.searchParams.get('offset')).toBe('200');
    expect(seen!.headers.get('Authorization')).toBe('token secret');
    expect(client.thumbnailUrl({ path: 'x y.jpg', modifiedMs: 7 }, 256)).not.toContain('secret');
  });

  it('sends bodies as JSON', async () => {
    let type: string | null = null;
    const client = clientWith(request => {
      type = request.headers.get('Content-Type');
      return json({ error: { code: 'no-such-release', message: 'There is none.' } }, 404);
    });
    await expect(client.startRun({ images: ['a.png'], release: 'x' })).rejects.toThrow('There is none.');
    expect(type).toBe('application/json');
  });

  it('passes on the code, sentence and hint of a refusal', async () => {
    const error = { code: 'broken-release', message: 'The release is broken.', hint: 'Copy it again.' };
    const client = clientWith(() => json({ error }, 409));
    await expect(client.releases()).rejects.toMatchObject({ ...error, status: 409 });
  });

  it.each([
    [403, 'forbidden', /sign in/],
    [404, 'not-installed', /jupyterlab_dermcap/],
    [502, 'server-unavailable', /log/],
  ])('explains a bare status %i', async (status, code, hint) => {
    const client = clientWith(() => new Response('<html>', { status }));
    await expect(client.releases()).rejects.toMatchObject({
      code,
      status,
      hint: expect.stringMatching(hint),
    });
  });

  it('calls a failed connection offline', async () => {
    const client = clientWith(() => Promise.reject(new TypeError('Failed to fetch')));
    await expect(client.releases()).rejects.toMatchObject({ code: 'offline', passing: true });
  });

  it('refuses an answer the contract does not allow', async () => {
    const client = clientWith(() => json({ releases: [{ id: 1 }] }));
    await expect(client.releases()).rejects.toMatchObject({ code: 'bad-response' });
  });

  it('says in words which side is older when the contracts differ', async () => {
    const newer = clientWith(() => json({ contract: CONTRACT_VERSION + 1, surprise: true }));
    await expect(newer.health()).rejects.toMatchObject({ code: 'contract-version', hint: /reload the page/ });
    const older = clientWith(() => json({ ...health, contract: CONTRACT_VERSION - 1 }));
    await expect(older.health()).rejects.toMatchObject({ code: 'contract-version', hint: /restart Jupyter/ });
    await expect(clientWith(() => json(health)).health()).resolves.toMatchObject({ pid: 1 });
  });

  it('follows a run across a lost connection with Last-Event-ID', async () => {
    const run = {
      id: 'r',
      state: 'running',
      detail: '',
      release: 'x',
      stages: ['a'],
      total: 1,
      captioned: 0,
    };
    const full = { ...run, failed: 0, createdMs: 0, finishedMs: null, imagesPerSecond: null };
    const event = (id: number, state: string) =>
      `id: ${id}\ndata: ${JSON.stringify({ type: 'run', run: { ...full, state } })}\n\n`;
    const lastIds: (string | null)[] = [];
    const client = clientWith(request => {
      lastIds.push(request.headers.get('Last-Event-ID'));
      return new Response(lastIds.length === 1 ? event(4, 'running') : event(5, 'done'));
    });
    const states = [];
    for await (const seen of client.runEvents('r', { sleep: () => Promise.resolve() })) {
      states.push(seen.type === 'run' && seen.run.state);
    }
    expect(states).toEqual(['running', 'done']);
    expect(lastIds).toEqual([null, '4']);
  });
});
