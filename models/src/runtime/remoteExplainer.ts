/** The explainer behind a worker thread, so that the thread that answers people never waits for a forward pass. */
import type { ExplainerOptions } from '../explainer.js';
import type { Explainer, ExplainerDescription } from '../explanation/types.js';
import type { Steps } from './explainerThread.js';
import type { WorkerOptions } from './remote.js';
import { Thread } from './thread.js';
import { workerScript } from './workerScript.js';

/** An {@link Explainer} that lives in its own thread. */
export interface RemoteExplainer extends Explainer {
  /** Ends the thread without a goodbye: calls in progress reject with `worker-stopped` at once. */
  end(): Promise<void>;
  /** Resolves once the thread has ended, however it ended. */
  readonly exited: Promise<void>;
}

/**
 * Opens releases for explanations in a new worker thread.
 * @throws DermcapError as `openExplainer` does; the thread is gone then
 */
export async function remoteExplainer(
  options: ExplainerOptions,
  worker: WorkerOptions = {},
): Promise<RemoteExplainer> {
  const { onProgress, ...cloneable } = options;
  const thread = new Thread(workerScript(), 'explanation worker', worker);
  let next = 0;
  try {
    const description = await thread.call<ExplainerDescription>('openExplainer', [cloneable], onProgress);
    return {
      ...description,
      explain: (image, request) => thread.call('explain', [image, request]),
      visionRollout: (image, tower) => thread.call('visionRollout', [image, tower]),
      async saliency(image, request, { signal, onProgress } = {}) {
        signal?.throwIfAborted();
        const id = next++;
        const stop = () => void thread.call('stopSaliency', [id]).catch(() => undefined);
        signal?.addEventListener('abort', stop, { once: true });
        try {
          return await thread.call('saliency', [image, request, id], ({ done, total }: Steps) =>
            onProgress?.(done, total),
          );
        } catch (error) {
          // The thread stops at the next batch, for a reason that stayed on this side.
          signal?.throwIfAborted();
          throw error;
        } finally {
          signal?.removeEventListener('abort', stop);
        }
      },
      close: async () => {
        try {
          await thread.call('closeExplainer', []);
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
