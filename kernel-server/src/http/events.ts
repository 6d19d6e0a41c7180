/**
 * Server-sent events (WHATWG HTML, section 9.2). The follower pulls: a slow connection holds nothing in memory
 * but its own place among the events.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

const HEARTBEAT_MS = 15_000;

/** An event of a stream; one without an id says how things stand, and is not what a client resumes from. */
export interface StreamedEvent {
  id: number | null;
  event: object;
}

/** The id a reconnecting client names, 0 for a new one or an id we never gave. */
export function lastEventId(header: string | undefined): number {
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : 0;
}

/**
 * Streams events until there are no more, the client has gone or `stop` aborts. A comment line goes out every
 * 15 s so that proxies keep the connection.
 * @param follow gives the events chunk by chunk, and ends when its signal aborts
 */
export async function streamEvents(
  response: ServerResponse,
  follow: (signal: AbortSignal) => AsyncIterable<StreamedEvent[]>,
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
    for await (const events of follow(signal)) {
      const text = events
        .map(({ id, event }) => `${id === null ? '' : `id: ${id}\n`}data: ${JSON.stringify(event)}\n\n`)
        .join('');
      if (!response.write(text)) await once(response, 'drain', { signal }).catch(() => undefined);
      if (signal.aborted) return;
    }
  } finally {
    clearInterval(heartbeat);
    response.end();
  }
}
