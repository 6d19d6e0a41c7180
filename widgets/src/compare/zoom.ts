/** How an image is looked at: `scale` times the size at which it fits, moved by `x`, `y` CSS pixels. */
export interface Zoom {
  scale: number;
  x: number;
  y: number;
}

export const FIT: Zoom = { scale: 1, x: 0, y: 0 };
const STEP = Math.SQRT2;
const LARGEST = 16;

/** One or more steps nearer (positive) or farther; the middle of the view stays where it is. */
export function zoomed(zoom: Zoom, steps: number): Zoom {
  const scale = Math.min(LARGEST, Math.max(1, zoom.scale * STEP ** steps));
  // Rounding would otherwise leave a hair of zoom that the "Fit" button cannot explain.
  if (scale < 1.01) return FIT;
  const ratio = scale / zoom.scale;
  return { scale, x: zoom.x * ratio, y: zoom.y * ratio };
}

/** Moved by a drag, so far that the image's edge does not pass the middle of a view of that size. */
export function panned(zoom: Zoom, dx: number, dy: number, width: number, height: number): Zoom {
  const clamp = (value: number, size: number) => {
    const most = ((zoom.scale - 1) * size) / 2;
    return Math.max(-most, Math.min(most, value));
  };
  return { ...zoom, x: clamp(zoom.x + dx, width), y: clamp(zoom.y + dy, height) };
}
