import type { ImageFailure, Run, RunEvent, RunRequest } from '@dermcap/kernel-server/contract';
import { Signal, type ISignal } from '@lumino/signaling';
import type { z } from 'zod';
import type { DermcapClient } from '../client/client.js';
import { RequestError } from '../client/error.js';
import type { Results } from './results.js';

/** Views hear of a running job at most this often; a resumed stream can bring thousands of events at once. */
const EMIT_EVERY_MS = 40;

const FINISHED = ['done', 'cancelled', 'failed'];

/** One caption run as the person sees it: what they asked for, how far it is, what failed. */
export class CaptionRun {
  private readonly _changed = new Signal<this, void>(this);
  private readonly abort = new AbortController();
  private readonly waiting: Set<string>;
  private readonly _failures: ImageFailure[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private _run: Run | null = null;
  private _error: RequestError | null = null;
  private _connected = true;
  private _cancelling = false;

  /** @param images what was asked for, in order; empty for a run that was found under way. */
  constructor(
    private readonly client: Pick<DermcapClient, 'startRun' | 'cancelRun' | 'runEvents'>,
    private readonly results: Results,
    readonly images: readonly string[],
  ) {
    this.waiting = new Set(images);
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The server's last word; null until it has accepted the run. */
  get run(): Run | null {
    return this._run;
  }

  /** Why the run could not be started, followed or cancelled. */
  get error(): RequestError | null {
    return this._error;
  }

  get failures(): readonly ImageFailure[] {
    return this._failures;
  }

  /** Images asked for that have neither caption nor failure yet, in order. */
  get remaining(): string[] {
    return [...this.waiting];
  }

  /** False while the connection to the server is lost and being sought again. */
  get connected(): boolean {
    return this._connected;
  }

  get cancelling(): boolean {
    return this._cancelling && this.active;
  }

  /** True from the click until the run is done, cancelled, failed or lost. */
  get active(): boolean {
    return this._error === null && !(this._run && FINISHED.includes(this._run.state));
  }

  /**
   * Where an image stands in this run. Images are captioned in the order asked for, so the first that has no
   * result is the one at work.
   */
  placeOf(image: string): 'captioning' | 'queued' | null {
    if (!this.active || !this.waiting.has(image)) return null;
    const first = this._run?.state === 'running' ? this.waiting.values().next().value : undefined;
    return image === first ? 'captioning' : 'queued';
  }

  /** Asks the server to caption the images and follows the run to its end. Errors end up in `error`. */
  async start(request: Omit<z.input<typeof RunRequest>, 'images'>): Promise<void> {
    await this.guard(async () => {
      this._run = await this.client.startRun({ ...request, images: [...this.images] });
      this._changed.emit();
      if (this._cancelling) void this.askToCancel(this._run.id);
      await this.listen(this._run.id);
    });
  }

  /** Follows a run that was already under way, from its beginning. */
  async follow(run: Run): Promise<void> {
    this._run = run;
    await this.guard(() => this.listen(run.id));
  }

  /** Asks the server to stop, as soon as it has accepted the run; captions made so far stay. */
  async cancel(): Promise<void> {
    if (!this.active || this._cancelling) return;
    this._cancelling = true;
    this._changed.emit();
    if (this._run) await this.askToCancel(this._run.id);
  }

  private async askToCancel(id: string): Promise<void> {
    try {
      await this.client.cancelRun(id);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this._cancelling = false;
      // A run that ended in the meantime cannot be cancelled, and need not be. While the connection is sought, the
      // run is not lost: the person can press again when it is back.
      const waits = error.passing && !this._connected;
      if (this.active && error.status !== 409 && !waits) this._error = error;
      this._changed.emit();
    }
  }

  /** Stops listening; the run itself goes on at the server. */
  dispose(): void {
    clearTimeout(this.timer);
    this.abort.abort();
    Signal.clearData(this);
  }

  private async listen(id: string): Promise<void> {
    const onConnection = (connected: boolean) => {
      this._connected = connected;
      this._changed.emit();
    };
    for await (const event of this.client.runEvents(id, { signal: this.abort.signal, onConnection })) {
      this.accept(event);
    }
  }

  private accept(event: RunEvent): void {
    this.results.addEvent(event);
    if (event.type === 'run') this._run = event.run;
    else if (event.type === 'captions') this.waiting.delete(event.image);
    else {
      this.waiting.delete(event.failure.image);
      this._failures.push(event.failure);
    }
    if (!this.active) {
      clearTimeout(this.timer);
      this.timer = undefined;
      this._changed.emit();
    } else this.timer ??= setTimeout(() => ((this.timer = undefined), this._changed.emit()), EMIT_EVERY_MS);
  }

  private async guard(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (RequestError.isAbort(error) || this.abort.signal.aborted) return;
      if (!(error instanceof RequestError)) throw error;
      this._error = error;
      this._changed.emit();
    }
  }
}
