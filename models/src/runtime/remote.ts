/**
 * The captioner and the image loader behind worker threads, so that the thread that answers people never
 * waits for a model or for a twelve-megapixel resize.
 */
import type { Captioner, CaptionerDescription, CaptionerOptions } from '../captioner.js';
import type { InputSpec } from '../image/preprocess.js';
import { Thread } from './thread.js';
import { workerScript } from './workerScript.js';

/** Arguments of `loadPixels` as they cross the thread boundary. */
export type PixelArguments = [
  path: string,
  mode: 'train-centre' | 'openclip-eval',
  spec: InputSpec,
  options: { autoOrient: boolean },
];

/** How a worker thread is run. */
export interface WorkerOptions {
  /**
   * 0 to 19, as of Unix processes: how far a worker and the threads it starts stand back when processors are
   * scarce, so that a server goes on answering at once. On Linux only, where a thread has a niceness of its own.
   */
  niceness?: number;
}

/** A {@link Captioner} that lives in its own thread. */
export interface RemoteCaptioner extends Captioner {
  /**
   * Ends the thread without a goodbye: calls in progress reject with `worker-stopped` at once, the thread
   * itself goes when its native call returns.
   */
  end(): Promise<void>;
  /** Resolves once the thread has ended, however it ended. */
  readonly exited: Promise<void>;
}

/** Turns image files into pixels in its own thread. */
export interface RemotePixels {
  /**
   * @returns the preprocessed image, [3, size, size] row-major
   * @throws DermcapError naming the file and the reason when it is not a readable image
   */
  load(...args: PixelArguments): Promise<Float32Array>;
  close(): Promise<void>;
}

/**
 * Opens a release in a new worker thread.
 * @throws DermcapError as `openCaptioner` does; the thread is gone then
 */
export async function remoteCaptioner(
  options: CaptionerOptions,
  worker: WorkerOptions = {},
): Promise<RemoteCaptioner> {
  const { onProgress, ...cloneable } = options;
  const thread = new Thread(workerScript(), 'model worker', worker);
  try {
    const description = await thread.call<CaptionerDescription>('open', [cloneable], onProgress);
    return {
      ...description,
      features: images => thread.call('features', [images]),
      embed: (images, tower) => thread.call('embed', [images, tower]),
      caption: (images, request) => thread.call('caption', [images, request]),
      score: (image, stage, tokens, prompt) => thread.call('score', [image, stage, tokens, prompt]),
      close: async () => {
        try {
          await thread.call('close', []);
        } finally {
          await thread.end();
        }
      },
      end: () => thread.end(),
      exited: thread.exited,
    };
  } catch (error) {
    await thread.end();
    throw error;
  }
}

/** Starts the image thread on first use and again should it have ended. */
export function remotePixels(worker: WorkerOptions = {}): RemotePixels {
  let thread: Thread | null = null;
  return {
    load(...args) {
      if (!thread) {
        const started = new Thread(workerScript(), 'image worker', worker);
        thread = started;
        void started.exited.then(() => {
          if (thread === started) thread = null;
        });
      }
      return thread.call('pixels', args);
    },
    async close() {
      await thread?.end();
    },
  };
}
