import * as React from 'react';

const PATHS = {
  folder: 'M2 4h4l1.5 1.5H14V13H2z',
  check: 'm3 8.5 3.2 3.2L13 5',
  close: 'm4 4 8 8M12 4l-8 8',
  back: 'M13 8H3m4-4L3 8l4 4',
  previous: 'm10 3-5 5 5 5',
  next: 'm6 3 5 5-5 5',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  fit: 'M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10',
  copy: 'M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z',
  refresh: 'M13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3',
  info: 'M8 7.2v4M8 4.6v.8M2.5 8a5.5 5.5 0 1 0 11 0 5.5 5.5 0 1 0-11 0',
} as const;

/** A line drawing of 16 units in the colour of the text around it; its control names it. */
export function Glyph({ of, size = 16 }: { of: keyof typeof PATHS; size?: number }): React.JSX.Element {
  return (
    <svg className="dc-Glyph" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[of]} fill="none" stroke="currentColor" strokeWidth="1.3" />
    </svg>
  );
}
