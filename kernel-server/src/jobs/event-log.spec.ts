import { array, assert, boolean, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Run, RunEvent } from '../contract/index.js';
import { EventLog, type NumberedEvent } from './event-log.js';

const runEvent = (captioned: number, state: Run['state'] = 'running'): RunEvent => ({
  type: 'run',
  run: {
    id: 'r',
    state,
    detail: '',
    release: 'demo',
    stages: ['a'],
    total: 99,
    captioned,
    failed: 0,
    createdMs: 0,
    finishedMs: null,
    imagesPerSecond: null,
  },
});
const result = (image: string): RunEvent => ({ type: 'captions', image, captions: [] });

function follow(log: EventLog, from: number, limit: number): NumberedEvent[] {
  const seen: NumberedEvent[] = [];
  for (let id = from; ;) {
    const events = log.after(id, limit);
    if (events.length === 0) return seen;
    seen.push(...events);
    id = events.at(-1)!.id;
  }
}

describe('EventLog', () => {
  it('keeps results and the newest state, in the order they came', () => {
    const log = new EventLog();
    for (const event of [runEvent(0), result('1'), runEvent(1), result('2')]) log.append(event);
    expect(follow(log, 0, 10).map(({ id }) => id)).toEqual([2, 3, 4]);
    expect(follow(log, 3, 10).map(({ id }) => id)).toEqual([4]);
  });

  it('gives any follower all results after its place and the newest state, whatever the chunk', () => {
    assert(
      property(
        array(boolean(), { maxLength: 40 }),
        integer({ min: 1, max: 5 }),
        integer({ min: 0, max: 45 }),
        (kinds, limit, from) => {
          const log = new EventLog();
          for (const [index, isRun] of kinds.entries())
            log.append(isRun ? runEvent(index) : result(String(index)));
          const seen = follow(log, from, limit).map(({ id }) => id);
          const lastRun = kinds.lastIndexOf(true) + 1;
          const wanted = kinds.flatMap((isRun, index) =>
            !isRun || index + 1 === lastRun ? [index + 1] : [],
          );
          expect(seen).toEqual(wanted.filter(id => id > from));
        },
      ),
    );
  });

  it('wakes followers on an event and on abort', async () => {
    const log = new EventLog();
    const gone = new AbortController();
    const woken = [log.changed(new AbortController().signal), log.changed(gone.signal)];
    log.append(result('1'));
    await Promise.all(woken);
    const waiting = log.changed(gone.signal);
    gone.abort();
    await waiting;
    await log.changed(gone.signal);
  });

  it('ends with a final state and takes nothing after it', () => {
    const log = new EventLog();
    log.append(runEvent(1, 'done'));
    expect(log.finished).toBe(true);
    log.append(result('late'));
    expect(follow(log, 0, 10)).toHaveLength(1);
  });
});
