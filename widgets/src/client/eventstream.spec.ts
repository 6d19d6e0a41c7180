import { describe, expect, it } from 'vitest';
import { readEvents, type StreamedEvent } from './eventstream.js';

/** A body whose chunks end at the given byte positions. */
function body(text: string, chunkBytes: number): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += chunkBytes)
        controller.enqueue(bytes.slice(at, at + chunkBytes));
      controller.close();
    },
  });
}

async function all(stream: ReadableStream<Uint8Array>): Promise<StreamedEvent[]> {
  const events = [];
  for await (const event of readEvents(stream)) events.push(event);
  return events;
}

describe('readEvents', () => {
  const text =
    'id: 1\ndata: {"a":"ä≤"}\n\n: still here\n\nid: 2\r\nevent: x\r\ndata: one\r\ndata:two\r\n\r\ndata: three\r\r';

  it.each([1, 2, 3, 7, 1000])('reads the same events from chunks of %i bytes', async chunkBytes => {
    expect(await all(body(text, chunkBytes))).toEqual([
      { id: '1', event: 'message', data: '{"a":"ä≤"}' },
      { id: '2', event: 'x', data: 'one\ntwo' },
      { id: '2', event: 'message', data: 'three' },
    ]);
  });

  it('drops an event that the end of the stream cuts off', async () => {
    expect(await all(body('data: whole\n\ndata: cut', 4))).toHaveLength(1);
  });

  it('reports the reconnection time', async () => {
    const waits: number[] = [];
    for await (const event of readEvents(body('retry: 1500\nretry: soon\n\n', 5), ms => waits.push(ms))) {
      expect(event).toBeUndefined();
    }
    expect(waits).toEqual([1500]);
  });

  it('closes the connection when the reader stops early', async () => {
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull: controller => controller.enqueue(new TextEncoder().encode('data: x\n\n')),
      cancel: () => void (cancelled = true),
    });
    for await (const event of readEvents(endless)) {
      expect(event.data).toBe('x');
      break;
    }
    expect(cancelled).toBe(true);
  });
});
