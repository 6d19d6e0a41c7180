import { describe, expect, it } from 'vitest';
import { keyMove } from './keys.js';

const place = { active: 7, total: 22, columns: 5, rowsOnScreen: 2 };
const press = (key: string, modifiers: Partial<KeyboardEventInit> = {}, where: Partial<typeof place> = {}) =>
  keyMove(
    { key, shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, ...modifiers },
    { ...place, ...where },
  );

describe('keyMove', () => {
  it.each([
    ['ArrowLeft', 7, 6],
    ['ArrowLeft', 0, 0],
    ['ArrowRight', 21, 21],
    ['ArrowUp', 7, 2],
    ['ArrowUp', 3, 3],
    ['ArrowDown', 7, 12],
    ['ArrowDown', 18, 21],
    ['ArrowDown', 20, 20],
    ['Home', 7, 0],
    ['End', 7, 21],
    ['PageDown', 7, 17],
    ['PageDown', 17, 21],
    ['PageUp', 17, 7],
    ['PageUp', 7, 2],
  ])('%s from %i goes to %i', (key, active, to) => {
    expect(press(key, {}, { active })).toEqual({ to, how: 'keep' });
  });

  it('extends with Shift, toggles with Space, and knows all, none and open', () => {
    expect(press('ArrowDown', { shiftKey: true })).toEqual({ to: 12, how: 'range' });
    expect(press(' ')).toBe('toggle');
    expect(press('a', { ctrlKey: true })).toBe('all');
    expect(press('a', { metaKey: true })).toBe('all');
    expect(press('Escape')).toBe('none');
    expect(press('Enter')).toBe('open');
  });

  it('leaves other keys and combinations alone', () => {
    expect(press('a')).toBeNull();
    expect(press('c', { ctrlKey: true })).toBeNull();
    expect(press('ArrowLeft', { altKey: true })).toBeNull();
    expect(press('End', {}, { total: 0 })).toBeNull();
  });
});
