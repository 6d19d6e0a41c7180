import { describe, expect, it } from 'vitest';
import { Selection } from './selection.js';

const chosen = (selection: Selection) => [...selection.chosen];

describe('Selection', () => {
  it('replaces the choice on a plain click', () => {
    const selection = new Selection();
    selection.choose(3, 'only');
    selection.choose(5, 'only');
    expect(chosen(selection)).toEqual([5]);
    expect(selection.active).toBe(5);
  });

  it('grows and shrinks a range from its anchor', () => {
    const selection = new Selection();
    selection.choose(3, 'only');
    selection.choose(6, 'range');
    expect(chosen(selection)).toEqual([3, 4, 5, 6]);
    selection.choose(4, 'range');
    expect(chosen(selection)).toEqual([3, 4]);
    selection.choose(1, 'range');
    expect(chosen(selection)).toEqual([1, 2, 3]);
  });

  it('keeps what was toggled before a range', () => {
    const selection = new Selection();
    selection.choose(9, 'toggle');
    selection.choose(2, 'toggle');
    selection.choose(4, 'range');
    expect(chosen(selection)).toEqual([2, 3, 4, 9]);
    selection.choose(9, 'toggle');
    expect(chosen(selection)).toEqual([2, 3, 4]);
  });

  it('moves the focus without changing the choice, and extends from where the focus was', () => {
    const selection = new Selection();
    selection.move(2, 10, 'keep');
    expect(chosen(selection)).toEqual([]);
    selection.move(1, 10, 'range');
    expect(chosen(selection)).toEqual([2, 3]);
    selection.move(-100, 10, 'keep');
    expect(selection.active).toBe(0);
  });

  it('keeps the anchor when the focus comes by other means, as it does before a click', () => {
    const selection = new Selection();
    selection.choose(2, 'only');
    selection.focus(5);
    selection.choose(5, 'range');
    expect(chosen(selection)).toEqual([2, 3, 4, 5]);
  });
});
