import { RequestError } from './error.js';

export interface FollowOptions {
  signal?: AbortSignal;
  /** Resume after this event; empty for all events from the start. */
  lastEventId?: string;
  /** Told whenever the connection is lost (false) or back (true). */
  onConnection?: (connected: boolean) => void;
  /** Waits between attempts; tests pass their own. Milliseconds. */
  sleep?: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}

/** First wait after a lost connection, doubled at every further failure up to the longest. */
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

/**
 * Turns connections that may break into one sequence of events. `connect` opens one connection after the event
 * named and calls `opened` when the server has accepted it; the sequence ends at the first event for which `isLast` holds, or when `signal` aborts. A connection
 * that ends or fails before that is opened again with back-off.
 *
 * @throws whatever `connect` throws that waiting cannot cure (`RequestError.passing` is false).
 */
export async function* followStream<T>(
  connect: (
    lastEventId: string,
    signal: AbortSignal | undefined,
    opened: () => void,
  ) => AsyncIterable<{ id: string; event: T }>,
  isLast: (event: T) => boolean,
  options: FollowOptions = {},
): AsyncGenerator<T, void, undefined> {
  const { signal, onConnection, sleep = wait } = options;
  let lastEventId = options.lastEventId ?? '';
  let waitMs = FIRST_WAIT_MS;
  let connected = true;
  const report = (now: boolean) => {
    if (now !== connected) onConnection?.(now);
    connected = now;
  };
  while (!signal?.aborted) {
    try {
      for await (const { id, event } of connect(lastEventId, signal, () => report(true))) {
        waitMs = FIRST_WAIT_MS;
        if (id) lastEventId = id;
        yield event;
        if (isLast(event)) return;
      }
    } catch (error) {
      if (signal?.aborted) return;
      if (!(error instanceof RequestError) || !error.passing) throw error;
    }
    if (signal?.aborted) return;
    report(false);
    await sleep(waitMs, signal);
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
  }
}

function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
