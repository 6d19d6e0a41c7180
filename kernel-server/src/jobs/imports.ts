/**
 * Imports into studies, in the background. They are not stored: what was imported is in the study, and importing
 * again goes on from there.
 */
import { randomUUID } from 'node:crypto';
import { DermcapError } from '@dermcap/models/errors';
import type { Import, ImportRequest } from '../contract/index.js';
import { startExaminer } from '../datasets/fingerprints.js';
import { openDataset } from '../datasets/open.js';
import { describeError } from '../engine/pipeline.js';
import { importDataset } from '../study/import.js';
import type { StudyFile } from '../study/open.js';

/** Imports of a study that can still be looked at after they have ended. */
const KEPT_IMPORTS = 20;

interface ImportJob {
  job: Import;
  stop: AbortController;
  ended: Promise<void>;
}

export class Imports {
  readonly #jobs = new Map<StudyFile, Map<string, ImportJob>>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /**
   * Begins to import a dataset; one at a time into a study.
   * @param file real path of the folder, manifest or shard
   * @throws DermcapError `import-running`, or as `openDataset` does
   */
  async start(study: StudyFile, file: string, request: ImportRequest): Promise<Import> {
    this.#requireIdle(study);
    const dataset = await openDataset(file);
    // Another may have begun meanwhile.
    this.#requireIdle(study);
    const jobs = this.#of(study);
    const stop = new AbortController();
    const started: ImportJob = {
      job: {
        id: randomUUID(),
        path: request.path,
        state: 'running',
        detail: 'Importing.',
        rows: 0,
        total: dataset.count ?? null,
        added: 0,
        updated: 0,
        moved: 0,
        problems: {},
        createdMs: this.#now(),
        finishedMs: null,
      },
      stop,
      ended: Promise.resolve(),
    };
    jobs.set(started.job.id, started);
    if (jobs.size > KEPT_IMPORTS) jobs.delete(jobs.keys().next().value!);
    started.ended = this.#perform(study, dataset, request, started);
    return started.job;
  }

  /** The newest first. */
  list(study: StudyFile): Import[] {
    return [...this.#of(study).values()].map(({ job }) => job).reverse();
  }

  /** @throws DermcapError `no-such-import` */
  get(study: StudyFile, id: string): Import {
    return this.#job(study, id).job;
  }

  /** Stops an import; what is imported stays. @throws DermcapError `no-such-import` */
  async cancel(study: StudyFile, id: string): Promise<Import> {
    const job = this.#job(study, id);
    job.stop.abort();
    await job.ended;
    return job.job;
  }

  /** Stops the imports of a study. To be called before its file is closed. */
  async release(study: StudyFile): Promise<void> {
    const jobs = [...(this.#jobs.get(study)?.values() ?? [])];
    this.#jobs.delete(study);
    for (const { stop } of jobs) stop.abort();
    await Promise.all(jobs.map(({ ended }) => ended));
  }

  async #perform(
    study: StudyFile,
    dataset: Awaited<ReturnType<typeof openDataset>>,
    request: ImportRequest,
    started: ImportJob,
  ): Promise<void> {
    const { signal } = started.stop;
    const update = (change: Partial<Import>): void => {
      started.job = { ...started.job, ...change };
    };
    const examiner = startExaminer({ dicom: { strip: request.stripDicom } });
    try {
      const progress = await importDataset(study, dataset, {
        examine: examiner.examine,
        ...(request.mapping ? { mapping: request.mapping } : {}),
        signal,
        onProgress: update,
      });
      const failed = Object.values(progress.problems).reduce((sum, count) => sum + count, 0);
      const problems = failed > 0 ? `, ${failed} images cannot be opened` : '';
      update({ ...progress, state: 'done', detail: `${progress.rows} rows imported${problems}.` });
    } catch (error) {
      if (signal.aborted) update({ state: 'cancelled', detail: `Cancelled after ${started.job.rows} rows.` });
      else {
        const { message, hint } = describeError(error, 'import-failed');
        update({ state: 'failed', detail: hint ? `${message} ${hint}` : message });
      }
    } finally {
      await examiner.close().catch(() => undefined);
      update({ finishedMs: this.#now() });
    }
  }

  #requireIdle(study: StudyFile): void {
    if (![...this.#of(study).values()].some(({ job }) => job.state === 'running')) return;
    throw new DermcapError('import-running', 'An import into this study is at work already.', {
      hint: 'Wait for it, or cancel it.',
    });
  }

  #of(study: StudyFile): Map<string, ImportJob> {
    let jobs = this.#jobs.get(study);
    if (!jobs) this.#jobs.set(study, (jobs = new Map()));
    return jobs;
  }

  #job(study: StudyFile, id: string): ImportJob {
    const job = this.#of(study).get(id);
    if (job) return job;
    throw new DermcapError('no-such-import', 'There is no import with this id.', {
      hint: 'It may be from before the server was started.',
    });
  }
}
