import { describe, expect, it } from 'vitest';
import { ModelTurns, type Priority } from './model-turns.js';

const urgent = (): Priority => 'interactive';
const bulk = (): Priority => 'bulk';

describe('ModelTurns', () => {
  it('lets the urgent go first, and among equals the first', async () => {
    const turns = new ModelTurns();
    const first = await turns.take(bulk);
    const order: string[] = [];
    const waiting = (
      [
        ['b1', bulk],
        ['u1', urgent],
        ['b2', bulk],
        ['u2', urgent],
      ] as const
    ).map(async ([name, priority]) => {
      const turn = await turns.take(priority);
      order.push(name);
      turn!.release();
    });
    first!.release();
    await Promise.all(waiting);
    expect(order).toEqual(['u1', 'u2', 'b1', 'b2']);
  });

  it('tells the holder when somebody more urgent waits', async () => {
    const turns = new ModelTurns();
    const holder = (await turns.take(bulk))!;
    void turns.take(bulk);
    expect(holder.wanted).toBe(false);
    let priority: Priority = 'bulk';
    void turns.take(() => priority);
    expect(holder.wanted).toBe(false);
    priority = 'interactive';
    expect(holder.wanted).toBe(true);
  });

  it('forgets who gives up waiting, and does not release twice', async () => {
    const turns = new ModelTurns();
    const holder = (await turns.take(bulk))!;
    const gone = new AbortController();
    const waiting = turns.take(urgent, gone.signal);
    gone.abort();
    expect(await waiting).toBe(null);
    expect(holder.wanted).toBe(false);
    expect(await turns.take(urgent, gone.signal)).toBe(null);
    holder.release();
    const next = (await turns.take(bulk))!;
    holder.release();
    const last = turns.take(urgent);
    expect(next.wanted).toBe(true);
    next.release();
    expect(await last).not.toBe(null);
  });
});
