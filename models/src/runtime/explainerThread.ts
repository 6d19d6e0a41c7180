/** The explainer's methods within a worker thread; `remoteExplainer.ts` is the other side. */
import { DermcapError } from '../errors.js';
import type { ExplainerOptions } from '../explainer.js';
import type { Explainer, ExplainerDescription, ImagePixels, SaliencyRequest } from '../explanation/types.js';
import type { ThreadMethods } from './thread.js';

/** How far a computation is, as it crosses the thread boundary. */
export interface Steps {
  done: number;
  total: number;
}

/** What a thread that can explain answers; it holds one open explainer. */
export function explainerMethods(): ThreadMethods {
  let explainer: Explainer | null = null;
  const running = new Map<number, AbortController>();
  const opened = (): Explainer => {
    if (!explainer) throw new DermcapError('no-open-release', 'No release is open for explanations here.');
    return explainer;
  };
  return {
    async openExplainer([options], progress) {
      const { openExplainer } = await import('../explainer.js');
      explainer = await openExplainer({ ...(options as ExplainerOptions), onProgress: progress });
      const { releases, stages, towers, inputs, provider } = explainer;
      return { releases, stages, towers, inputs, provider } satisfies ExplainerDescription;
    },
    async explain(args) {
      return opened().explain(...(args as Parameters<Explainer['explain']>));
    },
    async visionRollout(args) {
      return opened().visionRollout(...(args as Parameters<Explainer['visionRollout']>));
    },
    async saliency(args, progress) {
      const [image, request, id] = args as [ImagePixels, SaliencyRequest, id: number];
      const controller = new AbortController();
      running.set(id, controller);
      try {
        return await opened().saliency(image, request, {
          signal: controller.signal,
          onProgress: (done, total) => progress({ done, total } satisfies Steps),
        });
      } finally {
        running.delete(id);
      }
    },
    async stopSaliency([id]) {
      running.get(id as number)?.abort();
    },
    async closeExplainer() {
      const closing = explainer;
      explainer = null;
      await closing?.close();
    },
  };
}
