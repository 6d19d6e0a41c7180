/** One event of a `text/event-stream`, as the WHATWG HTML standard §9.2.6 dispatches it. */
export interface StreamedEvent {
  /** Last event id in force when the event was dispatched; empty before the first `id` field. */
  id: string;
  event: string;
  data: string;
}

/** A stream whose unfinished line grows past this is not an event stream (CWE-770). One event is a few kB. */
const MAX_LINE_LENGTH = 16 * 1024 * 1024;

/**
 * Reads events from a response body. Lines may end in LF, CRLF or CR and may be split anywhere between chunks;
 * an event that is not closed by an empty line when the stream ends is dropped, as the standard asks.
 *
 * @param onRetry called with milliseconds when the server names a reconnection time.
 * @throws RangeError when a line is longer than 16 MiB.
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  onRetry: (ms: number) => void = () => undefined,
): AsyncGenerator<StreamedEvent, void, undefined> {
  let id = '';
  let event = '';
  let data: string[] = [];
  for await (const line of readLines(body)) {
    if (line === '') {
      if (data.length > 0) {
        yield { id, event: event || 'message', data: data.join('\n') };
      }
      event = '';
      data = [];
      continue;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') data.push(value);
    else if (field === 'event') event = value;
    else if (field === 'id' && !value.includes('\0')) id = value;
    else if (field === 'retry' && /^\d+$/.test(value)) onRetry(Number(value));
  }
}

async function* readLines(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  let afterCarriageReturn = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      let text = decoder.decode(value, { stream: true });
      // A CR that ended the last chunk and an LF that starts this one are one line end.
      if (afterCarriageReturn && text.startsWith('\n')) text = text.slice(1);
      if (text === '') continue;
      afterCarriageReturn = text.endsWith('\r');
      const lines = (rest + text).split(/\r\n|\n|\r/);
      rest = lines.pop() ?? '';
      if (rest.length > MAX_LINE_LENGTH) throw new RangeError('The event stream holds a line without end.');
      yield* lines;
    }
  } finally {
    // Runs also when the consumer stops early: without it the connection would stay open.
    await reader.cancel().catch(() => undefined);
  }
}
