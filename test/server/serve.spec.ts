import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer as createNetServer } from 'node:net';
import { dirname } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Client } from './client.js';
import { CLI, makeStudy, RELEASE, TOWER, type Study } from './study.js';

interface Served {
  process: ChildProcessByStdio<Writable, Readable, Readable>;
  /** What it has written so far. */
  output: () => string;
  errors: () => string;
  exited: Promise<{ code: number | null; signal: string | null; ms: number }>;
}

let study: Study;
const running: Served[] = [];

beforeEach(async () => {
  study = await makeStudy();
});
afterEach(async () => {
  for (const served of running.splice(0)) {
    served.process.kill('SIGKILL');
    await served.exited;
  }
  await rm(study.base, { recursive: true });
});

function serve(...args: string[]): Served {
  const child = spawn(
    process.execPath,
    [
      CLI,
      'serve',
      '--root',
      study.root,
      '--cache',
      study.cacheDir,
      '--release-path',
      RELEASE,
      '--clip',
      TOWER,
      ...args,
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  let output = '';
  let errors = '';
  child.stdout.on('data', chunk => (output += chunk));
  child.stderr.on('data', chunk => (errors += chunk));
  const startMs = performance.now();
  const exited = new Promise<{ code: number | null; signal: string | null; ms: number }>(resolve => {
    child.on('close', (code, signal) => resolve({ code, signal, ms: performance.now() - startMs }));
  });
  const served = { process: child, output: () => output, errors: () => errors, exited };
  running.push(served);
  return served;
}

async function listening(served: Served): Promise<Served> {
  await expect
    .poll(() => served.output() + served.errors(), { timeout: 20_000 })
    .toMatch(/^DermCap listens on /m);
  return served;
}

const onSocket = () => listening(serve('--socket', study.socketPath));

/** Starts a long run and waits until the model decodes. */
async function decode(client: Client): Promise<void> {
  const images = Array.from({ length: 12 }, (_, index) => `img${index + 1}.png`);
  const { id } = (await client.post('/runs', { images, release: 'shared-pair' })).json();
  for await (const { event } of client.follow(id)) {
    if (event.type === 'captions') return;
  }
}

/** Whether a process runs; one that has ended but that nobody has collected (a zombie) does not. */
async function isRunning(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return !/\) Z /.test(state);
}

/** In mid-run a server goes by itself, or is ended by its own deadline when the model takes too long to stop. */
async function endsInTime(served: Served): Promise<void> {
  const { code, signal } = await served.exited;
  expect(code === 0 || signal === 'SIGKILL', `${code} ${signal} ${served.errors()}`).toBe(true);
  expect(served.errors()).not.toMatch(/terminate called/);
}

describe('dermcap serve', () => {
  it('ends, also in mid-run, when the program that holds its standard input goes', async () => {
    const served = await onSocket();
    await decode(new Client(study.socketPath));
    const startMs = performance.now();
    served.process.stdin.end();
    await endsInTime(served);
    expect(performance.now() - startMs).toBeLessThan(5000);
    await expect(stat(study.socketPath)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('leaves nothing behind when the program that started it is killed', async () => {
    const args = [
      CLI,
      'serve',
      '--root',
      study.root,
      '--cache',
      study.cacheDir,
      '--socket',
      study.socketPath,
    ];
    const script = `require('node:child_process').spawn(process.execPath, ${JSON.stringify(args)}, { stdio: 'pipe' })`;
    const parent = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
    const client = new Client(study.socketPath);
    const health = () => client.ask('/health').then(answer => answer.json().pid as number);
    await expect.poll(() => health().catch(() => null), { timeout: 20_000 }).toBeTypeOf('number');
    const pid = await health();
    parent.kill('SIGKILL');
    await expect.poll(() => isRunning(pid), { timeout: 5000 }).toBe(false);
    await expect(stat(study.socketPath)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('ends on %s', async signal => {
    const served = await onSocket();
    served.process.kill(signal);
    expect(await served.exited).toMatchObject({ code: 0, signal: null });
  });

  it('ends event streams when it ends', async () => {
    const served = await onSocket();
    const client = new Client(study.socketPath);
    const images = Array.from({ length: 12 }, (_, index) => `img${index + 1}.png`);
    const { id } = (await client.post('/runs', { images, release: 'shared-pair' })).json();
    for await (const { event } of client.follow(id)) {
      if (event.type === 'captions') served.process.kill('SIGTERM');
    }
    await endsInTime(served);
  });

  it('makes a private socket, and takes the place of a dead server but not of a living one', async () => {
    const first = await onSocket();
    expect((await stat(study.socketPath)).mode & 0o777).toBe(0o600);
    expect((await stat(dirname(study.socketPath))).mode & 0o777).toBe(0o700);
    const second = serve('--socket', study.socketPath);
    expect((await second.exited).code).toBe(2);
    expect(second.errors()).toMatch(/Another server already listens/);
    first.process.kill('SIGKILL');
    await first.exited;
    expect((await stat(study.socketPath)).isSocket()).toBe(true);
    await onSocket();
    expect((await new Client(study.socketPath).ask('/health')).status).toBe(200);
  });

  it('refuses a folder that others can reach', async () => {
    await mkdir(dirname(study.socketPath));
    await chmod(dirname(study.socketPath), 0o755);
    const served = serve('--socket', study.socketPath);
    expect((await served.exited).code).toBe(2);
    expect(served.errors()).toMatch(/Use a folder of your own with mode 0700/);
  });

  it('wants its token on a port, which is the loopback’s alone', async () => {
    const served = await listening(serve('--port', '0'));
    const [, address, token] = /listens on (http:\/\/127\.0\.0\.1:\d+), token (\S+)/.exec(served.output())!;
    const ask = (headers: Record<string, string>) => fetch(`${address}/api/health`, { headers });
    expect((await ask({})).status).toBe(401);
    expect((await ask({ Authorization: 'Bearer guess' })).status).toBe(401);
    expect((await ask({ Authorization: `Bearer ${token}` })).status).toBe(200);
    expect(served.errors()).not.toContain(token);
  });

  it('says in a sentence what it lacks', async () => {
    for (const [args, sentence] of [
      [[], /needs a place to listen/],
      [['--socket', study.socketPath, '--root', `${study.base}/none`], /root folder .* does not exist/],
      [['--socket', study.socketPath, '--port', '1'], /cannot be used with/],
    ] as const) {
      const served = serve(...args);
      expect((await served.exited).code).toBe(2);
      expect(served.errors()).toMatch(sentence);
    }
  });

  it('reports a port in use', async () => {
    const taken = createNetServer();
    const port = await new Promise<number>(resolve => {
      taken.listen(0, '127.0.0.1', () => resolve((taken.address() as { port: number }).port));
    });
    const served = serve('--port', String(port));
    expect((await served.exited).code).toBe(2);
    expect(served.errors()).toMatch(/in use/);
    taken.close();
  });

  it('logs neither paths nor contents unless asked to', async () => {
    await writeFile(`${study.root}/patient-4711.png`, '');
    const served = await onSocket();
    const client = new Client(study.socketPath);
    await client.ask('/thumbnail?path=patient-4711.png');
    const { id } = (
      await client.post('/runs', { images: ['patient-4711.png'], release: 'shared-pair' })
    ).json();
    for await (const { event } of client.follow(id)) expect(event.type).not.toBe('captions');
    served.process.kill('SIGTERM');
    await served.exited;
    expect(served.errors()).toMatch(/run finished/);
    expect(served.errors()).not.toMatch(/patient-4711/);
    expect(served.errors()).not.toContain(study.base);
  });
});
