/**
 * Caption runs: a queue of requests worked off one at a time, each followed through its event log.
 */
import { randomUUID } from 'node:crypto';
import { DermcapError } from '@dermcap/models/errors';
import { completeDecoding, type CaptionList, type Run, type RunRequest } from '../contract/index.js';
import { resolveInside, splitPath } from '../datasets/paths.js';
import type { Engine, OpenCaptioner } from '../engine/engine.js';
import { captionImages, describeError, type CaptionJob, type ImageSource } from '../engine/pipeline.js';
import type { ReleaseCatalogue } from '../engine/releases.js';
import { EventLog, isFinal } from './event-log.js';
import { LatestCaptions } from './latest-captions.js';
import type { ModelTurns } from './model-turns.js';

/** Finished runs that can still be looked at; older ones are forgotten with their events. */
const KEPT_FINISHED_RUNS = 20;
/** Images of all of these together: each keeps about 4 KB of results. The newest run is kept in any case. */
const KEPT_FINISHED_IMAGES = 100_000;
/** A person waits for a run of no more images than this; a larger one lets others go first. */
const MAX_INTERACTIVE_IMAGES = 16;
/** Runs that may wait; more is a client gone wild (CWE-770). */
const MAX_WAITING_RUNS = 50;

/** What the runs room needs to know of a logger: pino's shape. */
export interface RunLogger {
  info(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface RunsOptions {
  /** The root with its own links resolved. */
  root: string;
  engine: Engine;
  turns: ModelTurns;
  releases: ReleaseCatalogue;
  batchSize: number;
  log: RunLogger;
  now?: () => number;
}

interface RunRecord {
  run: Run;
  /** As it came, but for the images: these are below, each once. */
  request: RunRequest;
  images: string[];
  log: EventLog;
  stop: AbortController;
}

export class Runs {
  readonly #options: RunsOptions;
  readonly #now: () => number;
  readonly #runs = new Map<string, RunRecord>();
  readonly #latest = new LatestCaptions();
  #working: Promise<void> | null = null;
  #closed = false;

  constructor(options: RunsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /**
   * Queues a run. Images named twice are captioned once.
   * @throws DermcapError `no-such-release`, `broken-release`, `no-such-stage`, `path-outside-root`,
   *   `too-many-runs` or `shutting-down`
   */
  async start(request: RunRequest): Promise<Run> {
    if (this.#closed) throw new DermcapError('shutting-down', 'The server is shutting down.');
    const images = [...new Set(request.images.map(path => splitPath(path).join('/')))];
    const stages = [...new Set(request.stages)];
    const { release } = await this.#options.releases.get(request.release);
    for (const stage of stages) {
      if (release.stages.some(({ id }) => id === stage)) continue;
      const known = release.stages.map(({ id }) => id).join(', ');
      throw new DermcapError('no-such-stage', `The release “${release.name}” has no stage “${stage}”.`, {
        hint: `It has: ${known}.`,
      });
    }
    const waiting = [...this.#runs.values()].filter(({ run }) => run.state === 'queued').length;
    if (waiting >= MAX_WAITING_RUNS) {
      throw new DermcapError('too-many-runs', `${waiting} runs are waiting already.`, {
        hint: 'Wait for some to finish, or cancel them.',
      });
    }
    const record: RunRecord = {
      run: {
        id: randomUUID(),
        state: 'queued',
        detail: 'Waiting for its turn.',
        release: release.id,
        stages,
        total: images.length,
        captioned: 0,
        failed: 0,
        createdMs: this.#now(),
        finishedMs: null,
        imagesPerSecond: null,
      },
      request: { ...request, images: [] },
      images,
      log: new EventLog(),
      stop: new AbortController(),
    };
    this.#runs.set(record.run.id, record);
    this.#update(record, {});
    const { run } = record;
    this.#working ??= this.#work();
    return run;
  }

  /** All known runs, the newest first. */
  list(): Run[] {
    return [...this.#runs.values()].map(({ run }) => run).reverse();
  }

  /** @throws DermcapError `no-such-run` */
  get(id: string): Run {
    return this.#record(id).run;
  }

  /** @throws DermcapError `no-such-run` */
  events(id: string): EventLog {
    return this.#record(id).log;
  }

  /**
   * Cancels a run: at once while it waits, else at the end of the batch that is being decoded. A finished run
   * stays as it is.
   * @throws DermcapError `no-such-run`
   */
  cancel(id: string): Run {
    const record = this.#record(id);
    if (record.run.state === 'queued') this.#finish(record, 'cancelled', 'Cancelled before it began.');
    else if (!isFinal(record.run.state)) this.#update(record, { detail: 'Stopping after this batch.' });
    record.stop.abort();
    return record.run;
  }

  /** The newest captions of a folder's images, by whichever run made them. */
  captions(folder: string): CaptionList {
    return this.#latest.inFolder(splitPath(folder).join('/'));
  }

  /** Cancels everything and waits until the worker loop has ended. The engine must be closed beside it. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { run } of this.#runs.values()) if (!isFinal(run.state)) this.cancel(run.id);
    await this.#working;
  }

  #record(id: string): RunRecord {
    const record = this.#runs.get(id);
    if (!record) {
      throw new DermcapError('no-such-run', 'There is no run with this id.', {
        hint: 'The server may have been restarted, or the run is too long ago.',
      });
    }
    return record;
  }

  async #work(): Promise<void> {
    for (;;) {
      const record = [...this.#runs.values()].find(({ run }) => run.state === 'queued');
      if (!record) {
        // At once, not when the promise settles: a run queued in between would wait for ever.
        this.#working = null;
        return;
      }
      const priority = record.run.total <= MAX_INTERACTIVE_IMAGES ? 'interactive' : 'bulk';
      const turn = await this.#options.turns.take(() => priority, record.stop.signal);
      // Cancelled while it waited: nothing is left to do.
      if (!turn) continue;
      await this.#perform(record).finally(() => turn.release());
    }
  }

  async #perform(record: RunRecord): Promise<void> {
    const { engine, log } = this.#options;
    const { id, total } = record.run;
    this.#update(record, { state: 'loading', detail: 'Opening the release.' });
    try {
      const entry = await this.#options.releases.get(record.request.release);
      const captioner = await engine.open(entry, record.run.stages, detail =>
        this.#update(record, { detail }),
      );
      if (!record.stop.signal.aborted) await this.#caption(record, captioner, entry.release.name);
      engine.ready();
      const { captioned, failed } = record.run;
      if (captioned + failed < total) {
        this.#finish(record, 'cancelled', `Cancelled after ${captioned + failed} of ${total} images.`);
      } else {
        const failures = failed > 0 ? `, ${failed} could not be read` : '';
        this.#finish(record, 'done', `${captioned} of ${total} images captioned${failures}.`);
      }
      log.info({ run: id, state: record.run.state, total, failed: record.run.failed }, 'run finished');
    } catch (error) {
      const { code, message, hint } = describeError(error, 'model-failed');
      log.error({ run: id, code, reason: message }, 'run failed');
      if (this.#closed) return this.#finish(record, 'cancelled', 'The server was shut down.');
      await engine.discard(error).catch(() => undefined);
      this.#finish(record, 'failed', hint ? `${message} ${hint}` : message);
    }
  }

  async #caption(record: RunRecord, captioner: OpenCaptioner, releaseName: string): Promise<void> {
    const { engine, root, batchSize } = this.#options;
    const { request, stop } = record;
    const sources = record.images.map((name): ImageSource => ({
      name,
      locate: () => resolveInside(root, name),
    }));
    const startMs = this.#now();
    engine.busy(`Captioning ${sources.length} images.`);
    this.#update(record, { state: 'running', detail: 'Captioning.' });
    const job: CaptionJob = {
      releaseName,
      prompt: request.prompt,
      decoding: completeDecoding(request.decoding),
      preprocess: request.preprocess,
      autoOrient: request.autoOrient,
      batchSize,
      onSmallerBatch: size => this.#update(record, { detail: smallerBatch(size) }),
    };
    for await (const results of captionImages(captioner, engine.loadPixels, sources, job, stop.signal)) {
      let { captioned, failed } = record.run;
      for (const result of results) {
        this.#latest.record(result);
        if ('error' in result) {
          failed++;
          record.log.append({ type: 'failure', failure: result });
        } else {
          captioned++;
          record.log.append({ type: 'captions', ...result });
        }
      }
      const seconds = (this.#now() - startMs) / 1000;
      this.#update(record, {
        captioned,
        failed,
        imagesPerSecond: seconds > 0 ? captioned / seconds : null,
      });
    }
  }

  #update(record: RunRecord, change: Partial<Run>): void {
    record.run = { ...record.run, ...change };
    record.log.append({ type: 'run', run: record.run });
  }

  #finish(record: RunRecord, state: 'done' | 'cancelled' | 'failed', detail: string): void {
    if (isFinal(record.run.state)) return;
    this.#update(record, { state, detail, finishedMs: this.#now() });
    const finished = [...this.#runs.values()].filter(({ run }) => isFinal(run.state));
    let images = 0;
    for (const [age, { run }] of finished.reverse().entries()) {
      images += run.total;
      if (age >= KEPT_FINISHED_RUNS || (age > 0 && images > KEPT_FINISHED_IMAGES)) this.#runs.delete(run.id);
    }
  }
}

/** What a run says after a batch did not fit into memory. */
export function smallerBatch(size: number): string {
  return `Memory did not suffice: going on with ${size} ${size === 1 ? 'image' : 'images'} at a time.`;
}
