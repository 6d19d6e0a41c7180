/** Positions `start` (included) to `end` (excluded) in a list. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * An immutable set of list positions kept as sorted, disjoint, non-touching ranges, so that "all 100,000" is one
 * range and a membership test is a binary search.
 */
export class IndexSet {
  static readonly empty = new IndexSet([]);

  /** The positions from `a` to `b`, both included, in either order. */
  static between(a: number, b: number): IndexSet {
    return new IndexSet([{ start: Math.min(a, b), end: Math.max(a, b) + 1 }]);
  }

  static all(count: number): IndexSet {
    return count > 0 ? new IndexSet([{ start: 0, end: count }]) : IndexSet.empty;
  }

  private constructor(readonly ranges: readonly Range[]) {}

  get size(): number {
    return this.ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  get first(): number | undefined {
    return this.ranges[0]?.start;
  }

  has(index: number): boolean {
    let low = 0;
    let high = this.ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const range = this.ranges[middle]!;
      if (index < range.start) high = middle - 1;
      else if (index >= range.end) low = middle + 1;
      else return true;
    }
    return false;
  }

  union(other: IndexSet): IndexSet {
    const sorted = [...this.ranges, ...other.ranges].sort((a, b) => a.start - b.start);
    const merged: Range[] = [];
    for (const range of sorted) {
      const last = merged.at(-1);
      if (last && range.start <= last.end) {
        merged[merged.length - 1] = { start: last.start, end: Math.max(last.end, range.end) };
      } else merged.push(range);
    }
    return new IndexSet(merged);
  }

  without(index: number): IndexSet {
    const ranges = this.ranges.flatMap(range => {
      if (index < range.start || index >= range.end) return [range];
      return [
        { start: range.start, end: index },
        { start: index + 1, end: range.end },
      ].filter(({ start, end }) => end > start);
    });
    return new IndexSet(ranges);
  }

  toggle(index: number): IndexSet {
    return this.has(index) ? this.without(index) : this.union(IndexSet.between(index, index));
  }

  /** How many members lie before `index`; the 0-based rank of `index` when it is a member. */
  rank(index: number): number {
    let rank = 0;
    for (const { start, end } of this.ranges) {
      if (start >= index) break;
      rank += Math.min(end, index) - start;
    }
    return rank;
  }

  /** The member of 0-based rank `rank`, or undefined past the ends. */
  at(rank: number): number | undefined {
    if (rank < 0) return undefined;
    let left = rank;
    for (const { start, end } of this.ranges) {
      if (left < end - start) return start + left;
      left -= end - start;
    }
    return undefined;
  }

  *[Symbol.iterator](): Generator<number, void, undefined> {
    for (const { start, end } of this.ranges) for (let index = start; index < end; index++) yield index;
  }
}
