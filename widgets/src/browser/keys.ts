import type { SelectHow } from './selection.js';

interface GridPlace {
  active: number;
  total: number;
  columns: number;
  rowsOnScreen: number;
}

interface Pressed {
  key: string;
  shiftKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}

/** What a key does in the grid: move the focus (`how`: also the choice), or one of the other actions. */
export type KeyMove =
  { to: number; how: Extract<SelectHow, 'keep' | 'range'> } | 'toggle' | 'all' | 'none' | 'open';

/** The grid's keys, or null for keys that mean nothing to it. Arrows stop at the ends. */
export function keyMove(pressed: Pressed, place: GridPlace): KeyMove | null {
  const { key } = pressed;
  const command = pressed.ctrlKey || pressed.metaKey;
  if (pressed.altKey || place.total === 0) return null;
  if (command && key.toLowerCase() === 'a') return 'all';
  if (key === ' ' && !command) return 'toggle';
  if (key === 'Enter' && !command) return 'open';
  if (key === 'Escape') return 'none';
  const to = target(key, place);
  if (to === null) return null;
  return { to: Math.max(0, Math.min(place.total - 1, to)), how: pressed.shiftKey ? 'range' : 'keep' };
}

function target(key: string, place: GridPlace): number | null {
  const { active, total, columns, rowsOnScreen } = place;
  const rowStart = active - (active % columns);
  const page = columns * rowsOnScreen;
  switch (key) {
    case 'ArrowLeft':
      return active - 1;
    case 'ArrowRight':
      return active + 1;
    case 'ArrowUp':
      return active < columns ? active : active - columns;
    case 'ArrowDown':
      // From the last full row into a shorter one: to its end rather than nowhere.
      return rowStart + columns >= total ? active : active + columns;
    case 'Home':
      return 0;
    case 'End':
      return total - 1;
    case 'PageUp':
      return active < page ? active % columns : active - page;
    case 'PageDown':
      return active + page;
    default:
      return null;
  }
}
