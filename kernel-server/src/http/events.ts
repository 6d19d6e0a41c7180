/**
 * Server-sent events (WHATWG HTML, section 9.2) from a run's event log. The follower pulls: a slow connection
 * holds nothing in memory but its own place in the log.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { EventLog } from '../jobs/event-log.js';

const HEARTBEAT_MS = 15_000;
/** Events written before looking again whether the connection keeps up. */
const CHUNK = 64;

/** The id a reconnecting client names, 0 for a new one or an id we never gave. */
export function lastEventId(header: string | undefined): number {
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : 0;
}

/**
 * Streams events after `afterId` until the run has ended, the client has gone or `stop` aborts.
 * A comment line goes out every 15 s so that proxies keep the connection.
 */
export async function streamEvents(
  response: ServerResponse,
  log: EventLog,
  afterId: number,
  stop: AbortSignal,
): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  const signal = AbortSignal.any([gone.signal, stop]);
  response.writeHead(200, {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-store',
    Connection: 'keep-alive',
    // Tells nginx-like proxies to pass every event on at once.
    'X-Accel-Buffering': 'no',
  });
  response.flushHeaders();
  const heartbeat = setInterval(() => response.write(': still here\n\n'), HEARTBEAT_MS);
  try {
    for (let id = afterId; !signal.aborted;) {
      const events = log.after(id, CHUNK);
      if (events.length === 0) {
        if (log.finished) return;
        await log.changed(signal);
        continue;
      }
      id = events.at(-1)!.id;
      const text = events
        .map(({ id: own, event }) => `id: ${own}\ndata: ${JSON.stringify(event)}\n\n`)
        .join('');
      if (!response.write(text)) await once(response, 'drain', { signal }).catch(() => undefined);
    }
  } finally {
    clearInterval(heartbeat);
    response.end();
  }
}
