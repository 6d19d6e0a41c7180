import { describe, expect, it } from 'vitest';
import { FIT, panned, zoomed } from './zoom.js';

describe('zoom', () => {
  it('comes back to exactly the fit after as many steps out as in, and never goes below', () => {
    let zoom = FIT;
    for (let i = 0; i < 3; i++) zoom = zoomed(zoom, 1);
    expect(zoom.scale).toBeCloseTo(2 * Math.SQRT2);
    for (let i = 0; i < 3; i++) zoom = zoomed(zoom, -1);
    expect(zoom).toEqual(FIT);
    expect(zoomed(FIT, -5)).toEqual(FIT);
  });

  it('keeps the middle of the view where it is', () => {
    const moved = panned(zoomed(FIT, 2), 40, -30, 400, 300);
    expect(moved).toMatchObject({ x: 40, y: -30 });
    const nearer = zoomed(moved, 2);
    expect(nearer.x / nearer.scale).toBeCloseTo(moved.x / moved.scale);
  });

  it('stops a drag where the image would leave the view, and moves nothing that fits', () => {
    expect(panned(zoomed(FIT, 2), 1000, -1000, 400, 300).x).toBeCloseTo(200);
    expect(panned(FIT, 50, 50, 400, 300)).toEqual(FIT);
  });
});
