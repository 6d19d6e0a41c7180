/**
 * Caption runs of studies. What is left to do is in the study's file, so a run can be paused, or cut short by a
 * crash, and goes on from there. Runs take turns at the one model.
 */
import { randomUUID } from 'node:crypto';
import { DermcapError } from '@dermcap/models/errors';
import {
  completeDecoding,
  type StudyRun,
  type StudyRunRequest,
  type StudyRunState,
} from '../contract/index.js';
import type { Engine } from '../engine/engine.js';
import { describeError } from '../engine/pipeline.js';
import type { CatalogueEntry, ReleaseCatalogue } from '../engine/releases.js';
import type { Asker } from '../study/filter.js';
import type { StudyFile } from '../study/open.js';
import type { ModelTurns, Priority, Turn } from './model-turns.js';
import { RunStore, type NumberedRunEvent, type StoredRun } from './run-store.js';
import { captionPending, type LocateImage } from './run-work.js';
import type { RunLogger } from './runs.js';
import { Speed } from './speed.js';

/** Runs of a study that may wait; more is a client gone wild (CWE-770). */
const MAX_WAITING_RUNS = 50;
/** Events handed out together. */
const CHUNK = 64;

export interface StudyRunsOptions {
  engine: Engine;
  turns: ModelTurns;
  releases: ReleaseCatalogue;
  /** Real path of an image of a study. */
  locate: LocateImage;
  batchSize: number;
  log: RunLogger;
  now?: () => number;
}

/** A run that waits or works. */
interface LiveRun {
  run: StoredRun;
  store: RunStore;
  stop: AbortController;
  /** What it becomes once it has stopped. */
  after: 'paused' | 'cancelled' | null;
  speed: Speed;
  ended: Promise<void>;
}

/** The runs of one open study. */
interface StudyState {
  store: RunStore;
  live: Map<string, LiveRun>;
  /** Raised with every change, for followers to compare. */
  version: number;
  wake: Set<() => void>;
}

export class StudyRuns {
  readonly #options: StudyRunsOptions;
  readonly #now: () => number;
  readonly #studies = new Map<StudyFile, Promise<StudyState>>();
  #closed = false;

  constructor(options: StudyRunsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /**
   * Stores a run and begins it when its turn comes.
   * @throws DermcapError `no-such-release`, `broken-release`, `no-such-stage`, `no-such-column`, `too-many-runs`
   *   or `shutting-down`
   */
  async start(study: StudyFile, request: StudyRunRequest, asker: Asker): Promise<StudyRun> {
    const state = await this.#state(study);
    await this.#entry(request);
    if (state.live.size >= MAX_WAITING_RUNS) {
      throw new DermcapError('too-many-runs', `${state.live.size} runs are waiting already.`, {
        hint: 'Wait for some to finish, or cancel them.',
      });
    }
    const id = randomUUID();
    await state.store.create(id, request, asker, this.#now());
    this.#begin(study, state, await state.store.get(id));
    return this.get(study, id);
  }

  /** The newest first. */
  async list(study: StudyFile): Promise<StudyRun[]> {
    const state = await this.#state(study);
    const runs = await state.store.list();
    return runs.map(run => describe(state.live.get(run.id), run));
  }

  /** @throws DermcapError `no-such-run` */
  async get(study: StudyFile, id: string): Promise<StudyRun> {
    const state = await this.#state(study);
    const live = state.live.get(id);
    return describe(live, live?.run ?? (await state.store.get(id)));
  }

  /**
   * Stops a run at the end of its batch, to be resumed later; one that is not at work stays as it is.
   * @throws DermcapError `no-such-run`
   */
  async pause(study: StudyFile, id: string): Promise<StudyRun> {
    return this.#stop(study, id, 'paused');
  }

  /**
   * Stops a run at the end of its batch for good. What is captioned stays.
   * @throws DermcapError `no-such-run`
   */
  async cancel(study: StudyFile, id: string): Promise<StudyRun> {
    const state = await this.#state(study);
    const { state: standing } = await this.get(study, id);
    if (state.live.has(id)) return this.#stop(study, id, 'cancelled');
    if (standing === 'paused' || standing === 'failed') {
      await state.store.update(id, { state: 'cancelled', detail: 'Cancelled.', finishedMs: this.#now() });
      changed(state);
    }
    return this.get(study, id);
  }

  /**
   * Goes on with what is left of a run that was paused, was interrupted, or failed.
   * @throws DermcapError `no-such-run`, `run-has-ended`, or as {@link start}
   */
  async resume(study: StudyFile, id: string): Promise<StudyRun> {
    const state = await this.#state(study);
    const run = await this.get(study, id);
    if (state.live.has(id)) {
      const live = state.live.get(id)!;
      if (live.after !== 'paused') return run;
      await live.ended;
      return this.resume(study, id);
    }
    if (run.state !== 'paused' && run.state !== 'failed') throw hasEnded(run.state);
    return this.#queue(study, state, id);
  }

  /**
   * Tries the images again that a run could not caption.
   * @throws DermcapError `no-such-run`, `run-is-working`, or as {@link start}
   */
  async retry(study: StudyFile, id: string): Promise<StudyRun> {
    const state = await this.#state(study);
    const run = await this.get(study, id);
    if (state.live.has(id)) {
      throw new DermcapError('run-is-working', 'This run is still at work.', {
        hint: 'Wait for it, or pause it.',
      });
    }
    if ((await state.store.retryFailed(id)) === 0) return run;
    return this.#queue(study, state, id);
  }

  /** @throws DermcapError `no-such-run` */
  async prioritise(study: StudyFile, id: string, priority: Priority): Promise<StudyRun> {
    const state = await this.#state(study);
    await this.get(study, id);
    await state.store.update(id, { priority });
    const live = state.live.get(id);
    if (live) live.run = { ...live.run, priority };
    changed(state);
    return this.get(study, id);
  }

  /** @throws DermcapError `no-such-run` */
  async failures(study: StudyFile, id: string, page: { after: number; limit: number }) {
    await this.get(study, id);
    return (await this.#state(study)).store.failures(id, page);
  }

  /** Results after `seq` and how the run stands, until it is at work no more or `signal` aborts. */
  async *follow(
    study: StudyFile,
    id: string,
    seq: number,
    signal: AbortSignal,
  ): AsyncGenerator<NumberedRunEvent[]> {
    const state = await this.#state(study);
    let told = '';
    for (let last = seq; !signal.aborted;) {
      const { version } = state;
      const events = await state.store.results(id, last, CHUNK);
      last = events.at(-1)?.id ?? last;
      const run = await this.get(study, id);
      const standing = JSON.stringify(run);
      if (standing !== told && events.length < CHUNK) {
        told = standing;
        events.push({ id: null, event: { type: 'run', run } });
      }
      if (events.length > 0) yield events;
      else if (!state.live.has(id)) return;
      else await change(state, version, signal);
    }
  }

  /** Pauses the runs of a study and forgets it. To be called before its file is closed. */
  async release(study: StudyFile): Promise<void> {
    const pending = this.#studies.get(study);
    if (!pending) return;
    this.#studies.delete(study);
    const state = await pending;
    const live = [...state.live.values()];
    for (const run of live) {
      run.after ??= 'paused';
      run.stop.abort();
    }
    await Promise.all(live.map(run => run.ended));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#studies.keys()].map(study => this.release(study)));
  }

  #state(study: StudyFile): Promise<StudyState> {
    if (this.#closed) throw new DermcapError('shutting-down', 'The server is shutting down.');
    let state = this.#studies.get(study);
    if (!state) {
      const store = new RunStore(study.db);
      state = store.pauseInterrupted().then(() => ({ store, live: new Map(), version: 0, wake: new Set() }));
      this.#studies.set(study, state);
    }
    return state;
  }

  async #entry(request: StudyRunRequest): Promise<CatalogueEntry> {
    const entry = await this.#options.releases.get(request.release);
    for (const stage of request.stages) {
      if (entry.release.stages.some(({ id }) => id === stage)) continue;
      const known = entry.release.stages.map(({ id }) => id).join(', ');
      throw new DermcapError(
        'no-such-stage',
        `The release “${entry.release.name}” has no stage “${stage}”.`,
        {
          hint: `It has: ${known}.`,
        },
      );
    }
    return entry;
  }

  async #queue(study: StudyFile, state: StudyState, id: string): Promise<StudyRun> {
    await this.#entry(await state.store.request(id));
    await state.store.update(id, { state: 'queued', detail: 'Waiting for its turn.', finishedMs: null });
    this.#begin(study, state, await state.store.get(id));
    return this.get(study, id);
  }

  #begin(study: StudyFile, state: StudyState, run: StoredRun): void {
    const live: LiveRun = {
      run,
      store: state.store,
      stop: new AbortController(),
      after: null,
      speed: new Speed(this.#now),
      ended: Promise.resolve(),
    };
    state.live.set(run.id, live);
    live.ended = this.#perform(study, state, live).finally(() => {
      state.live.delete(run.id);
      changed(state);
    });
    changed(state);
  }

  async #stop(study: StudyFile, id: string, after: 'paused' | 'cancelled'): Promise<StudyRun> {
    const state = await this.#state(study);
    const live = state.live.get(id);
    if (live) {
      live.after = after;
      const waits = live.run.state === 'queued';
      if (!waits) await this.#update(state, live, { detail: 'Stopping after this batch.' });
      live.stop.abort();
      if (waits) await live.ended;
    }
    return this.get(study, id);
  }

  async #perform(study: StudyFile, state: StudyState, live: LiveRun): Promise<void> {
    const { turns, engine, log } = this.#options;
    const { id } = live.run;
    try {
      for (;;) {
        const turn = await turns.take(() => live.run.priority, live.stop.signal);
        if (!turn) break;
        try {
          if (await this.#work(study, state, live, turn)) break;
        } finally {
          turn.release();
        }
        await this.#update(state, live, { state: 'queued', detail: 'Making way for somebody who waits.' });
      }
      await this.#finish(state, live);
    } catch (error) {
      const { code, message, hint } = describeError(error, 'model-failed');
      log.error({ run: id, code, reason: message }, 'run failed');
      if (live.stop.signal.aborted) return void (await this.#finish(state, live).catch(() => undefined));
      await engine.discard(error).catch(() => undefined);
      const detail = hint ? `${message} ${hint}` : message;
      await this.#update(state, live, { state: 'failed', detail, finishedMs: this.#now() }).catch(
        () => undefined,
      );
    }
  }

  /** Works while it is its turn. @returns true when there is nothing more to do, or it was told to stop */
  async #work(study: StudyFile, state: StudyState, live: LiveRun, turn: Turn): Promise<boolean> {
    const { engine, locate, batchSize } = this.#options;
    const request = await live.store.request(live.run.id);
    const entry = await this.#entry(request);
    await this.#update(state, live, { state: 'loading', detail: 'Opening the release.' });
    const captioner = await engine.open(entry, live.run.stages, detail => {
      live.run = { ...live.run, detail };
      changed(state);
    });
    engine.busy(`Captioning ${live.run.total} images.`);
    await this.#update(state, live, {
      state: 'running',
      detail: 'Captioning.',
      batchSize: live.run.batchSize ?? batchSize,
    });
    live.speed.start();
    const finished = await captionPending({
      runId: live.run.id,
      store: live.store,
      captioner,
      loadPixels: engine.loadPixels,
      locate: image => locate(study, image),
      job: {
        releaseName: entry.release.name,
        prompt: request.prompt,
        decoding: completeDecoding(request.decoding),
        preprocess: request.preprocess,
        autoOrient: request.autoOrient,
        batchSize: live.run.batchSize ?? batchSize,
      },
      db: study.db,
      now: this.#now,
      signal: live.stop.signal,
      makeWay: () => turn.wanted,
      onBatch: async ({ captioned, failed, skipped }) => {
        live.speed.add(captioned + failed);
        const { captioned: before, failed: failures } = live.run;
        live.run = { ...live.run, captioned: before + captioned + skipped, failed: failures + failed };
        changed(state);
      },
      onSmallerBatch: (size, detail) => this.#update(state, live, { batchSize: size, detail }),
    });
    engine.ready();
    return finished || live.stop.signal.aborted;
  }

  async #finish(state: StudyState, live: LiveRun): Promise<void> {
    const { captioned, failed, total, id } = live.run;
    const left = total - captioned - failed;
    const failures = failed > 0 ? `, ${failed} could not be captioned` : '';
    const change =
      left === 0
        ? { state: 'done' as const, detail: `${captioned} of ${total} images captioned${failures}.` }
        : live.after === 'cancelled'
          ? { state: 'cancelled' as const, detail: `Cancelled with ${left} of ${total} images left.` }
          : { state: 'paused' as const, detail: `Paused with ${left} of ${total} images left.` };
    await this.#update(state, live, {
      ...change,
      finishedMs: change.state === 'paused' ? null : this.#now(),
    });
    this.#options.log.info({ run: id, state: change.state, total, failed }, 'run stopped');
  }

  async #update(
    state: StudyState,
    live: LiveRun,
    change: { state?: StudyRunState; detail?: string; batchSize?: number; finishedMs?: number | null },
  ): Promise<void> {
    live.run = { ...live.run, ...change };
    await live.store.update(live.run.id, change);
    changed(state);
  }
}

function describe(live: LiveRun | undefined, run: StoredRun): StudyRun {
  const speed = live?.speed.perSecond ?? null;
  const now = live?.run ?? run;
  const left = now.total - now.captioned - now.failed;
  return { ...now, imagesPerSecond: speed, secondsLeft: speed ? left / speed : null };
}

function hasEnded(state: string): DermcapError {
  return new DermcapError('run-has-ended', `This run is ${state} and cannot be resumed.`, {
    hint: 'Start a new one: what is captioned costs nothing.',
  });
}

function changed(state: StudyState): void {
  state.version++;
  const { wake } = state;
  state.wake = new Set();
  for (const follower of wake) follower();
}

/** Resolves when something has changed since `version`, or `signal` aborts. */
function change(state: StudyState, version: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (state.version !== version || signal.aborted) return resolve();
    const wake = (): void => {
      signal.removeEventListener('abort', wake);
      state.wake.delete(wake);
      resolve();
    };
    signal.addEventListener('abort', wake, { once: true });
    state.wake.add(wake);
  });
}
