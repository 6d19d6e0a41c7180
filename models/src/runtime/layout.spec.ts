import { describe, expect, it } from 'vitest';
import type { CaptionModel } from '../graph/lanes.js';
import { lanesOf } from '../graph/lanes.js';
import { layoutFeeds } from './layout.js';

/** A model of one-slot or more prefixes; `equal` as in {@link CaptionModel}. */
function model(
  equal: number[][],
  equalStart: number[],
  prefixes: { slots: number }[] = [{ slots: 2 }],
  prefixOf: number[] = equalStart.map(() => 0),
): CaptionModel {
  return {
    equal,
    equalStart,
    prefixes,
    stages: prefixOf.map(prefix => ({ prefix })),
  } as unknown as CaptionModel;
}

const values = (tensor: { data: unknown } | undefined) => Array.from(tensor!.data as BigInt64Array, Number);
const seen = (tensor: { data: unknown } | undefined) => values(tensor).map(value => (value === 0 ? 1 : 0));

const PAIR = model(
  [
    [0, 0],
    [0, 1],
    [0, 1],
  ],
  [0, 0],
);

describe('the lanes of a pair that parts behind its first block', () => {
  it('are one trunk, two branches and two heads', () => {
    expect(lanesOf(PAIR).map(({ name, stages, blocks, from }) => [name, stages, blocks, from])).toEqual([
      ['0_0', [0, 1], [0], []],
      ['1_0', [0], [1], ['0_0']],
      ['1_1', [1], [1], ['0_0']],
      ['head_0', [0], [], ['1_0']],
      ['head_1', [1], [], ['1_1']],
    ]);
  });

  const feeds = layoutFeeds(PAIR, [[7], [8, 9]], 2);

  it('take the prefix and their own prompt', () => {
    expect(values(feeds['prefillRows_1_1'])).toEqual([0, 1, 3, 4]);
    expect(values(feeds['stepRows_1_1'])).toEqual([2, 3]);
    expect(values(feeds['prefillRows_head_1'])).toEqual([3, 3]);
    expect(values(feeds['stepRows_head_1'])).toEqual([0, 1]);
  });

  it('let a prompt see the prefix and itself, never the other', () => {
    expect(seen(feeds['prefillMask_0_0'])).toEqual(
      [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 1, 0],
        [1, 1, 0, 1, 1],
      ].flat(),
    );
  });

  it('give every beam its own stage only', () => {
    const [a, b] = [
      [1, 1, 1, 0, 0],
      [1, 1, 0, 1, 1],
    ];
    expect(seen(feeds['beamMask_0_0'])).toEqual([a, a, b, b].flat());
    expect(seen(feeds['beamMask_1_1'])).toEqual(Array(2 * 4).fill(1));
  });
});

describe('stages that part and meet again', () => {
  const again = model(
    [
      [0, 0],
      [0, 1],
      [0, 0],
      [0, 0],
    ],
    [0, 0],
  );

  it('come together in one lane, each with its own copy of the prefix', () => {
    expect(lanesOf(again).map(({ name, stages, from }) => [name, stages, from])).toEqual([
      ['0_0', [0, 1], []],
      ['1_0', [0], ['0_0']],
      ['1_1', [1], ['0_0']],
      ['2_0', [0, 1], ['1_0', '1_1']],
      ['head_0', [0, 1], ['2_0']],
    ]);
    const feeds = layoutFeeds(again, [[7], [8, 9]], 1);
    expect(values(feeds['prefillRows_2_0'])).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(seen(feeds['beamMask_2_0'])).toEqual([1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
    expect(values(feeds['prefillRows_head_0'])).toEqual([2, 6]);
  });
});

describe('stages with prefixes of their own', () => {
  const two = model(
    [
      [0, 0],
      [0, 0],
    ],
    [0, 1],
    [{ slots: 1 }, { slots: 3 }],
    [0, 1],
  );

  it('share blocks, not prefixes', () => {
    const feeds = layoutFeeds(two, [[5], [6]], 1);
    // [prefix 0, prefix 1 × 3, prompt 0, prompt 1]
    expect(seen(feeds['beamMask_0_0'])).toEqual([1, 0, 0, 0, 1, 0, 0, 1, 1, 1, 0, 1]);
    expect(values(feeds['prefillRows_head_0'])).toEqual([4, 5]);
  });

  it('end at the last prefix slot where the prompt is empty', () => {
    const feeds = layoutFeeds(two, [[], []], 1);
    expect(values(feeds['prefillRows_head_0'])).toEqual([0, 3]);
  });
});

describe('a stage that goes on alone', () => {
  it('takes every row of its lane as it comes, while others part', () => {
    const three = model(
      [
        [0, 0, 2],
        [0, 1, 2],
        [0, 1, 2],
      ],
      [0, 0, 2],
      [{ slots: 1 }, { slots: 1 }],
      [0, 0, 1],
    );
    const feeds = layoutFeeds(three, [[1], [2], [3]], 1);
    expect(feeds['prefillRows_1_2']).toBeUndefined();
    expect(feeds['prefillRows_1_0']).toBeDefined();
  });
});
