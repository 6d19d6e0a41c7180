/**
 * The events of one run, for any number of followers. Results are kept once; of the run's own state only the
 * latest is, since a follower that missed earlier ones needs no more.
 */
import type { RunEvent } from '../contract/index.js';

export interface NumberedEvent {
  id: number;
  event: RunEvent;
}

/** Events handed out together. */
const CHUNK = 64;

export class EventLog {
  readonly #results: NumberedEvent[] = [];
  #state: NumberedEvent | null = null;
  #lastId = 0;
  #finished = false;
  #wake: (() => void)[] = [];

  /** True once the event that ends the stream has been appended. */
  get finished(): boolean {
    return this.#finished;
  }

  append(event: RunEvent): void {
    if (this.#finished) return;
    const numbered = { id: ++this.#lastId, event };
    if (event.type === 'run') this.#state = numbered;
    else this.#results.push(numbered);
    this.#finished = event.type === 'run' && isFinal(event.run.state);
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }

  /** At most `limit` events after `id`, in order. */
  after(id: number, limit: number): NumberedEvent[] {
    // Ids increase: the first result wanted is found by halving.
    let low = 0;
    let high = this.#results.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#results[middle]!.id <= id) low = middle + 1;
      else high = middle;
    }
    const events = this.#results.slice(low, low + limit);
    const state = this.#state;
    const rest = this.#results.length - low - events.length;
    const last = events.at(-1)?.id ?? id;
    if (state && state.id > id && (rest === 0 || state.id < last)) {
      const place = events.findIndex(event => event.id > state.id);
      events.splice(place === -1 ? events.length : place, 0, state);
    }
    return events;
  }

  /** What comes after `id`, chunk by chunk, until the run has ended or `signal` aborts. */
  async *follow(id: number, signal: AbortSignal): AsyncGenerator<NumberedEvent[]> {
    for (let last = id; !signal.aborted;) {
      const events = this.after(last, CHUNK);
      if (events.length === 0) {
        if (this.finished) return;
        await this.changed(signal);
        continue;
      }
      last = events.at(-1)!.id;
      yield events;
    }
  }

  /** Resolves when something is appended after this call, or when `signal` aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      if (signal.aborted) return resolve();
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        this.#wake = this.#wake.filter(other => other !== wake);
        resolve();
      };
      signal.addEventListener('abort', wake, { once: true });
      this.#wake.push(wake);
    });
  }
}

/** Whether a run in this state will not change any more. */
export function isFinal(state: string): boolean {
  return state === 'done' || state === 'cancelled' || state === 'failed';
}
