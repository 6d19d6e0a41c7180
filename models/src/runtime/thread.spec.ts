import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MessageChannel } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DermcapError } from '../errors.js';
import { serveThread, Thread } from './thread.js';

// A thread of plain JavaScript that speaks the protocol, so that its life and death can be steered.
const SCRIPT = `
import { parentPort } from 'node:worker_threads';
parentPort.on('message', message => {
  if (message === 'end') process.exit();
  const { id, method, args } = message;
  if (method === 'exit') process.exit(args[0]);
  if (method === 'throw') throw new Error(args[0]);
  if (method === 'hang') return;
  parentPort.postMessage({ id, result: args });
});
`;

let folder: string;
let script: URL;
const threads: Thread[] = [];

function start(): Thread {
  const thread = new Thread(script, 'test worker');
  threads.push(thread);
  return thread;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dermcap-thread-'));
  script = pathToFileURL(join(folder, 'worker.mjs'));
  await writeFile(script, SCRIPT);
});
afterEach(async () => {
  await Promise.all(threads.splice(0).map(thread => thread.end()));
});
afterAll(() => rm(folder, { recursive: true }));

describe('Thread', () => {
  it('returns results of overlapping calls to the right caller', async () => {
    const thread = start();
    const results = await Promise.all([1, 2, 3].map(n => thread.call('echo', [n])));
    expect(results).toEqual([[1], [2], [3]]);
  });

  it('leaves the caller its arrays', async () => {
    const pixels = new Float32Array([1, 2, 3]);
    const [echoed] = await start().call<[Float32Array]>('echo', [pixels]);
    expect(echoed).toEqual(pixels);
    expect(pixels).toHaveLength(3);
  });

  it.each([
    ['exit', 7, /exit code 7/],
    ['throw', 'out of memory', /out of memory/],
  ])('rejects every waiting call when the thread ends by %s', async (method, argument, reason) => {
    const thread = start();
    const waiting = thread.call('hang', []);
    const fatal = thread.call(method, [argument]);
    for (const call of [waiting, fatal]) {
      await expect(call).rejects.toMatchObject({
        name: 'DermcapError',
        code: 'worker-stopped',
        message: expect.stringMatching(reason),
      });
    }
    await thread.exited;
    await expect(thread.call('echo', [1])).rejects.toMatchObject({ code: 'worker-stopped' });
  });

  it('rejects a call whose arguments cannot be copied and goes on', async () => {
    const thread = start();
    await expect(thread.call('echo', [() => 1])).rejects.toThrow(/could not be cloned/);
    await expect(thread.call('echo', [2])).resolves.toEqual([2]);
  });

  it('rejects a call that waits when it is ended', async () => {
    const thread = start();
    const waiting = expect(thread.call('hang', [])).rejects.toMatchObject({ code: 'worker-stopped' });
    await thread.end();
    await waiting;
  });
});

describe('serveThread', () => {
  function ask(method: string, methods: Parameters<typeof serveThread>[1]): Promise<unknown[]> {
    const { port1, port2 } = new MessageChannel();
    serveThread(port1, methods);
    return new Promise(resolve => {
      const replies: unknown[] = [];
      port2.on('message', reply => {
        replies.push(reply);
        if (!('progress' in reply)) {
          port2.close();
          resolve(replies);
        }
      });
      port2.postMessage({ id: 1, method, args: [] });
    });
  }

  it('carries code, sentence and hint of a DermcapError', async () => {
    const replies = await ask('fail', {
      fail: async () => {
        throw new DermcapError('no-such-release', 'There is no release here.', { hint: 'Look there.' });
      },
    });
    expect(replies).toEqual([
      {
        id: 1,
        error: { code: 'no-such-release', message: 'There is no release here.', hint: 'Look there.' },
      },
    ]);
  });

  it('sends progress before the result and moves its buffers', async () => {
    const pixels = new Float32Array([0.5, -1]);
    const replies = await ask('work', {
      work: async (_args, progress) => {
        progress('reading');
        return [pixels];
      },
    });
    expect(replies).toEqual([
      { id: 1, progress: 'reading' },
      { id: 1, result: [new Float32Array([0.5, -1])] },
    ]);
    expect(pixels.buffer.byteLength).toBe(0);
  });

  it('copies a view into a larger buffer instead of taking the buffer away', async () => {
    const whole = new Float32Array([1, 2, 3, 4]);
    const replies = await ask('work', { work: async () => whole.subarray(1, 3) });
    expect(replies).toEqual([{ id: 1, result: new Float32Array([2, 3]) }]);
    expect(whole).toHaveLength(4);
  });

  it('ends when the calls it has begun are done', async () => {
    const { port1, port2 } = new MessageChannel();
    let finish: () => void = () => undefined;
    serveThread(port1, {
      work: () =>
        new Promise(resolve => {
          finish = () => resolve('done');
        }),
    });
    const heard: unknown[] = [];
    port2.on('message', reply => heard.push(reply));
    const closed = new Promise(resolve => port2.once('close', resolve));
    port2.postMessage({ id: 1, method: 'work', args: [] });
    port2.postMessage('end');
    await new Promise(resolve => setTimeout(resolve, 20));
    finish();
    await closed;
    expect(heard).toEqual([{ id: 1, result: 'done' }]);
  });

  it('names an unknown method', async () => {
    const [reply] = await ask('nothing', {});
    expect(reply).toMatchObject({ error: { code: 'unknown-method' } });
  });
});
