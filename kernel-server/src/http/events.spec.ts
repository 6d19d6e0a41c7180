import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EventLog } from '../jobs/event-log.js';
import { lastEventId, streamEvents } from './events.js';

let log: EventLog;
let stop: AbortController;
let server: Server;
/** Streams that have been begun, and the responses they write to. */
let streams: { ended: Promise<void>; response: ServerResponse }[];

beforeEach(async () => {
  log = new EventLog();
  stop = new AbortController();
  streams = [];
  server = createServer((_request, response) => {
    streams.push({ ended: streamEvents(response, signal => log.follow(0, signal), stop.signal), response });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
});
afterEach(() => {
  vi.useRealTimers();
  stop.abort();
  server.closeAllConnections();
  server.close();
});

function connect(): Promise<IncomingMessage> {
  const { port } = server.address() as AddressInfo;
  return new Promise((resolve, reject) => get({ host: '127.0.0.1', port }, resolve).on('error', reject));
}

const captions = (image: string) => log.append({ type: 'captions', image, captions: [] });

describe('streamEvents', () => {
  it('sends each event at once, without being asked', async () => {
    const answer = await connect();
    answer.setEncoding('utf8');
    for (const image of ['1.png', '2.png']) {
      const arrived = new Promise(resolve => answer.once('data', resolve));
      captions(image);
      expect(await arrived).toContain(`"image":"${image}"`);
    }
    answer.destroy();
  });

  it('writes a comment every 15 seconds, for proxies that hang up on silence', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const answer = await connect();
    const arrived = new Promise(resolve => answer.once('data', chunk => resolve(String(chunk))));
    vi.advanceTimersByTime(15_000);
    expect(await arrived).toMatch(/^: .*\n\n$/);
    answer.destroy();
    await streams[0]!.ended;
    expect(vi.getTimerCount()).toBe(0);
  });

  it('lets go when the client hangs up', async () => {
    const answer = await connect();
    answer.destroy();
    await streams[0]!.ended;
    captions('after.png');
    expect(streams[0]!.response.writableEnded).toBe(true);
  });

  it('holds little for a client that does not read', async () => {
    const image = 'x'.repeat(10_000);
    for (let n = 0; n < 2000; n++) captions(image);
    const answer = await connect();
    answer.pause();
    await new Promise(resolve => setTimeout(resolve, 100));
    // One portion of 64 events may wait to be sent; 20 MB of them may not.
    expect(streams[0]!.response.writableLength).toBeLessThan(2_000_000);
    let bytes = 0;
    for await (const chunk of answer) {
      bytes += (chunk as Buffer).length;
      if (bytes > 20_000_000) break;
    }
    expect(bytes).toBeGreaterThan(20_000_000);
  });
});

describe('lastEventId', () => {
  it.each([
    [undefined, 0],
    ['17', 17],
    ['-1', 0],
    ['1e9', 0],
    ['99999999999999999999', 0],
  ])('reads %j as %i', (header, id) => {
    expect(lastEventId(header)).toBe(id);
  });
});
