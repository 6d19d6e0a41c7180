import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IndexSet } from './indexset.js';

type Step = ['toggle' | 'without', number] | ['range', number, number];
const index = fc.nat(40);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(fc.constantFrom('toggle' as const, 'without' as const), index),
  fc.tuple(fc.constant('range' as const), index, index),
);

describe('IndexSet', () => {
  it('holds what a plain set holds, in disjoint ranges with gaps between', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), steps => {
        let set = IndexSet.empty;
        const plain = new Set<number>();
        for (const [kind, a, b] of steps) {
          if (kind === 'range') {
            set = set.union(IndexSet.between(a, b!));
            for (let i = Math.min(a, b!); i <= Math.max(a, b!); i++) plain.add(i);
          } else if (kind === 'toggle') {
            set = set.toggle(a);
            if (!plain.delete(a)) plain.add(a);
          } else {
            set = set.without(a);
            plain.delete(a);
          }
        }
        const sorted = [...plain].sort((a, b) => a - b);
        expect([...set]).toEqual(sorted);
        expect(set.size).toBe(plain.size);
        for (let i = 0; i <= 41; i++) expect(set.has(i)).toBe(plain.has(i));
        sorted.forEach((member, rank) => {
          expect(set.rank(member)).toBe(rank);
          expect(set.at(rank)).toBe(member);
        });
        set.ranges
          .slice(1)
          .forEach((range, i) => expect(range.start).toBeGreaterThan(set.ranges[i]!.end - 1));
      }),
    );
  });

  it('keeps all of 100,000 as one range', () => {
    expect(IndexSet.all(100_000).ranges).toHaveLength(1);
    expect(IndexSet.all(0)).toBe(IndexSet.empty);
  });
});
