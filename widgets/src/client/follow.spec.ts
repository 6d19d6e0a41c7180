import { describe, expect, it } from 'vitest';
import { RequestError } from './error.js';
import { followStream } from './follow.js';

interface Numbered {
  id: string;
  event: string;
}

/** Connections that deliver what is listed and then end, or fail with the error listed last. */
function connections(...scripts: (string | Error)[][]) {
  const askedAfter: string[] = [];
  async function* connect(
    lastEventId: string,
    _signal: unknown,
    opened: () => void,
  ): AsyncGenerator<Numbered> {
    askedAfter.push(lastEventId);
    const script = scripts[askedAfter.length - 1] ?? [];
    if (!(script[0] instanceof Error)) opened();
    for (const step of script) {
      if (step instanceof Error) throw step;
      yield { id: step, event: `event ${step}` };
    }
  }
  return { connect, askedAfter };
}

const offline = new RequestError('offline', 'away');

describe('followStream', () => {
  async function follow(...scripts: (string | Error)[][]) {
    const { connect, askedAfter } = connections(...scripts);
    const waits: number[] = [];
    const connection: boolean[] = [];
    const events: string[] = [];
    const stream = followStream(connect, event => event === 'event 9', {
      sleep: ms => (waits.push(ms), Promise.resolve()),
      onConnection: connected => connection.push(connected),
    });
    for await (const event of stream) events.push(event);
    return { events, askedAfter, waits, connection };
  }

  it('resumes after the last event seen, so that nothing is missed or repeated', async () => {
    const { events, askedAfter, connection } = await follow(['1', '2', offline], [offline], ['3', '9']);
    expect(events).toEqual(['event 1', 'event 2', 'event 3', 'event 9']);
    expect(askedAfter).toEqual(['', '2', '2']);
    expect(connection).toEqual([false, true]);
  });

  it('connects again when the server closes before the last event', async () => {
    expect((await follow(['1'], ['9'])).events).toEqual(['event 1', 'event 9']);
  });

  it('waits longer after each failure and short again after a success', async () => {
    const { waits } = await follow([offline], [offline], [offline], ['1', offline], ['9']);
    expect(waits).toEqual([500, 1000, 2000, 500]);
  });

  it('gives up on an error that waiting does not cure', async () => {
    const lost = new RequestError('no-such-run', 'There is no run with this id.', { status: 404 });
    await expect(follow(['1', offline], [lost])).rejects.toBe(lost);
  });

  it('ends quietly when its caller gives up', async () => {
    const abort = new AbortController();
    const { connect, askedAfter } = connections(['1'], ['2']);
    const events = [];
    const options = { signal: abort.signal, sleep: () => (abort.abort(), Promise.resolve()) };
    for await (const event of followStream(connect, () => false, options)) events.push(event);
    expect(events).toEqual(['event 1']);
    expect(askedAfter).toEqual(['']);
  });
});
