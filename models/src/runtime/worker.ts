/**
 * Entry of the worker threads (see `remote.ts`). One thread holds an open release, another one turns image
 * files into pixels, a third explains; all run this file and load only what they are asked for.
 */
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import type { Captioner, CaptionerDescription, CaptionerOptions } from '../captioner.js';
import { DermcapError } from '../errors.js';
import type { PixelArguments, WorkerOptions } from './remote.js';
import { explainerMethods } from './explainerThread.js';
import { serveThread } from './thread.js';

if (!parentPort) throw new Error('This file is the entry of a worker thread.');

const { niceness = 0 } = (workerData ?? {}) as WorkerOptions;
// Without a process id, Linux sets the calling thread's niceness, which the threads it starts inherit;
// other systems would slow the whole process.
if (niceness > 0 && process.platform === 'linux') setPriority(niceness);

let captioner: Captioner | null = null;

function opened(): Captioner {
  if (!captioner) throw new DermcapError('no-open-release', 'No release is open in this worker.');
  return captioner;
}

serveThread(parentPort, {
  async open([options], progress) {
    const { openCaptioner } = await import('../captioner.js');
    captioner = await openCaptioner({ ...(options as CaptionerOptions), onProgress: progress });
    const { releases, stages, towers, inputs, provider, precision } = captioner;
    return { releases, stages, towers, inputs, provider, precision } satisfies CaptionerDescription;
  },
  async features(args) {
    return opened().features(...(args as Parameters<Captioner['features']>));
  },
  async embed(args) {
    return opened().embed(...(args as Parameters<Captioner['embed']>));
  },
  async caption(args) {
    return opened().caption(...(args as Parameters<Captioner['caption']>));
  },
  async score(args) {
    return opened().score(...(args as Parameters<Captioner['score']>));
  },
  async close() {
    const closing = captioner;
    captioner = null;
    await closing?.close();
  },
  async sha256(args) {
    const { fileSha256 } = await import('./identity.js');
    return fileSha256(...(args as Parameters<typeof fileSha256>));
  },
  async pixels(args) {
    const { loadPixels } = await import('../image/preprocess.js');
    return loadPixels(...(args as PixelArguments));
  },
  ...explainerMethods(),
});
