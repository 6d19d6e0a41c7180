/** For specs of runs. */
import type { CaptionerOptions } from '@dermcap/models';
import { DermcapError } from '@dermcap/models/errors';
import type { LoadPixels, OpenCaptioner } from '../engine/engine.js';

// The order of work is at stake here, so the model is a script: it captions when the test lets it.
// The real model runs in test/server.
export class ScriptedModel {
  opened = 0;
  batches: number[] = [];
  loaded: string[] = [];
  requests: unknown[] = [];
  #gate: (() => Promise<void>) | null = null;
  #exit: () => void = () => undefined;

  /** Every batch from now on waits for one call of the returned function. */
  hold(): () => void {
    const waiting: (() => void)[] = [];
    let passes = 0;
    this.#gate = () =>
      passes > 0 ? (passes--, Promise.resolve()) : new Promise(resolve => waiting.push(resolve));
    return () => {
      const next = waiting.shift();
      if (next) next();
      else passes++;
    };
  }

  failNext: Error | null = null;
  crash(): void {
    this.#exit();
  }

  readonly loadPixels: LoadPixels = async path => {
    this.loaded.push(path);
    if (path.includes('broken')) throw new DermcapError('image-unreadable', 'It is cut short.');
    return new Float32Array(3);
  };

  readonly open = async (options: CaptionerOptions): Promise<OpenCaptioner> => {
    this.opened++;
    options.onProgress?.('Reading the checkpoints');
    const [release] = options.releases;
    const stages = release!.stages!;
    if (release!.dir.includes('bad')) throw new DermcapError('keys-mismatch', 'Keys are missing.');
    return {
      releases: [{ name: 'scripted', mode: 'faithful' }],
      stages: stages.map(id => ({
        id,
        label: id,
        file: `${id}.pt`,
        sha256: `sha-${id}`,
        prompt: id,
        release: 0,
        tower: 0,
      })),
      towers: [{ name: 'tower', sha256: 'sha-clip', input: 0 }],
      provider: { name: 'cpu', reason: 'scripted' },
      precision: 'exact',
      inputs: [{ size: 1, mean: [0, 0, 0], std: [1, 1, 1] }],
      features: () => Promise.reject(new Error('not asked for')),
      embed: () => Promise.reject(new Error('not asked for')),
      score: () => Promise.reject(new Error('not asked for')),
      caption: async (pixels, request) => {
        this.batches.push(pixels.length);
        this.requests.push(request);
        await this.#gate?.();
        const failure = this.failNext;
        this.failNext = null;
        if (failure) throw failure;
        return pixels.map(() =>
          stages.map(stage => ({
            stage,
            caption: `by ${stage}`,
            tokens: [1],
            score: -1,
            prompt: stage,
          })),
        );
      },
      close: async () => undefined,
      end: async () => undefined,
      exited: new Promise(resolve => {
        this.#exit = resolve;
      }),
    };
  };
}
