/**
 * The one model of a server: opens a release on first use, keeps the last one open, and says in words what
 * it is doing. It works for one run at a time; the queue in `jobs` sees to that.
 */
import type { Captioner, CaptionerOptions, StageId } from '@dermcap/models';
import { DermcapError } from '@dermcap/models/errors';
import type { EngineState } from '../contract/index.js';
import type { CatalogueEntry } from './releases.js';

/** A captioner that may live, and die, in a thread of its own. */
export interface OpenCaptioner extends Captioner {
  /** Ends its thread; calls in progress reject. */
  end?(): Promise<void>;
  readonly exited?: Promise<void>;
}

/** Preprocesses one image file: [3, size, size] row-major. */
export type LoadPixels = (
  path: string,
  mode: 'train-centre' | 'openclip-eval',
  spec: Captioner['inputs'][number],
  options: { autoOrient: boolean },
) => Promise<Float32Array>;

export interface EngineOptions {
  open: (options: CaptionerOptions) => Promise<OpenCaptioner>;
  loadPixels: LoadPixels;
  provider?: NonNullable<CaptionerOptions['provider']>;
  device?: number;
  precision?: NonNullable<CaptionerOptions['precision']>;
  threads?: number;
  cacheDir?: string;
}

const IDLE: EngineState = {
  state: 'idle',
  detail: 'No release is open yet; the first run opens one.',
  release: null,
  provider: null,
  providerReason: null,
  precision: null,
};

export class Engine {
  readonly #options: EngineOptions;
  #state: EngineState = IDLE;
  #current: { key: string; captioner: OpenCaptioner } | null = null;
  #opening: Promise<OpenCaptioner> | null = null;
  #closed = false;

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  get state(): EngineState {
    return this.#state;
  }

  get loadPixels(): LoadPixels {
    return this.#options.loadPixels;
  }

  /**
   * The captioner of these stages: the open one if it fits, else a new one after closing the old.
   * @param onDetail told in words what opening is doing
   * @throws DermcapError as `openCaptioner` does
   */
  async open(
    entry: CatalogueEntry,
    stages: readonly StageId[],
    onDetail: (detail: string) => void = () => undefined,
  ): Promise<OpenCaptioner> {
    if (this.#closed) throw new DermcapError('shutting-down', 'The server is shutting down.');
    const key = [entry.dir, entry.clipDir, ...stages].join('\0');
    if (this.#current?.key === key) return this.#current.captioner;
    await this.#release();
    this.#enter('loading', `Opening “${entry.release.name}”.`, entry.release.id);
    const { cacheDir, provider, device, precision, threads } = this.#options;
    const opening = this.#options.open({
      releases: [{ dir: entry.dir, clipDir: entry.clipDir ?? undefined, stages }],
      ...(provider === undefined ? {} : { provider }),
      ...(device === undefined ? {} : { device }),
      ...(precision === undefined ? {} : { precision }),
      ...(threads === undefined ? {} : { threads }),
      ...(cacheDir === undefined ? {} : { cacheDir }),
      onProgress: phase => {
        this.#state = { ...this.#state, detail: phase };
        onDetail(phase);
      },
    });
    this.#opening = opening;
    try {
      const captioner = await opening;
      if (this.#closed) throw new DermcapError('shutting-down', 'The server is shutting down.');
      this.#adopt(key, captioner, entry);
      return captioner;
    } catch (error) {
      this.#fail(error, entry.release.id);
      throw error;
    } finally {
      this.#opening = null;
    }
  }

  /** Says that the open captioner is decoding. */
  busy(detail: string): void {
    this.#state = { ...this.#state, state: 'busy', detail };
  }

  /** Says that the open captioner waits for work. */
  ready(): void {
    if (this.#current) this.#state = { ...this.#state, state: 'ready', detail: 'Waiting for work.' };
  }

  /** Gives a captioner up after it failed, so that the next run opens a fresh one. */
  async discard(error: unknown): Promise<void> {
    const { release } = this.#state;
    await this.#release();
    this.#fail(error, release);
  }

  /** Closes the open captioner and refuses to open another. */
  async close(): Promise<void> {
    this.#closed = true;
    const opening = this.#opening;
    await Promise.all([this.#release(), opening?.then(finish, () => undefined)]);
  }

  #adopt(key: string, captioner: OpenCaptioner, entry: CatalogueEntry): void {
    this.#current = { key, captioner };
    this.#state = {
      state: 'ready',
      detail: 'Waiting for work.',
      release: entry.release.id,
      provider: captioner.provider.name,
      providerReason: captioner.provider.reason,
      precision: captioner.precision,
    };
    void captioner.exited?.then(() => {
      if (this.#current?.captioner !== captioner) return;
      this.#current = null;
      this.#fail(new DermcapError('worker-stopped', 'The model worker stopped.'), null);
    });
  }

  async #release(): Promise<void> {
    const captioner = this.#current?.captioner;
    this.#current = null;
    if (!captioner) return;
    this.#state = IDLE;
    await finish(captioner);
  }

  #enter(state: EngineState['state'], detail: string, release: string | null): void {
    this.#state = { ...IDLE, state, detail, release };
  }

  #fail(error: unknown, release: string | null): void {
    const detail = error instanceof Error ? error.message : String(error);
    this.#enter('failed', detail, release);
  }
}

/** Ending its thread frees all that a captioner holds; closing first would wait for a decode nobody wants. */
function finish(captioner: OpenCaptioner): Promise<void> {
  return captioner.end ? captioner.end() : captioner.close();
}
