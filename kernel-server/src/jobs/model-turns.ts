/**
 * Whose turn it is at the one model. A person who waits for an image goes before work in bulk, which makes way
 * at the end of its batch; among equals it is first come, first served.
 */

export const PRIORITIES = { interactive: 10, bulk: 0 } as const;
export type Priority = keyof typeof PRIORITIES;

export interface Turn {
  /** True when somebody more urgent waits: the holder should end its batch and take another turn. */
  readonly wanted: boolean;
  release(): void;
}

interface Waiter {
  priority: () => Priority;
  start: (turn: Turn) => void;
}

export class ModelTurns {
  /** In the order in which they came. */
  readonly #waiting: Waiter[] = [];
  #holder: Waiter | null = null;

  /**
   * Waits for a turn.
   * @param priority asked anew whenever it matters, so that it may change meanwhile
   * @returns null when `signal` aborts first
   */
  take(priority: () => Priority, signal?: AbortSignal): Promise<Turn | null> {
    return new Promise(resolve => {
      if (signal?.aborted) return resolve(null);
      const giveUp = (): void => {
        const at = this.#waiting.indexOf(waiter);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        resolve(null);
      };
      const waiter: Waiter = {
        priority,
        start: turn => {
          signal?.removeEventListener('abort', giveUp);
          resolve(turn);
        },
      };
      signal?.addEventListener('abort', giveUp, { once: true });
      this.#waiting.push(waiter);
      this.#next();
    });
  }

  #next(): void {
    if (this.#holder) return;
    const best = this.#mostUrgent();
    if (!best) return;
    this.#waiting.splice(this.#waiting.indexOf(best), 1);
    this.#holder = best;
    const isWanted = (): boolean => {
      const next = this.#mostUrgent();
      return next !== undefined && PRIORITIES[next.priority()] > PRIORITIES[best.priority()];
    };
    best.start({
      get wanted() {
        return isWanted();
      },
      release: () => {
        if (this.#holder !== best) return;
        this.#holder = null;
        this.#next();
      },
    });
  }

  #mostUrgent(): Waiter | undefined {
    let best: Waiter | undefined;
    for (const waiter of this.#waiting) {
      if (!best || PRIORITIES[waiter.priority()] > PRIORITIES[best.priority()]) best = waiter;
    }
    return best;
  }
}
