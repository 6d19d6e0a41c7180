/** Small screens, narrow panels, zoomed browsers: nothing that can be pressed is cut off. */
import { expect } from '@playwright/test';
import type { Page } from '@playwright/test';
import { openLab, test } from './lab.js';
import { cells, panel, picture, thumbnails } from './page.js';

/** Controls of the panel that are shown but not wholly inside it or inside what clips them. */
function cutOff(page: Page): Promise<string[]> {
  return panel(page).evaluate(node => {
    const clipped: string[] = [];
    for (const control of node.querySelectorAll<HTMLElement>('button, select, input, h2, .dc-Cell')) {
      const box = control.getBoundingClientRect();
      if (box.width === 0 || getComputedStyle(control).visibility === 'hidden') continue;
      for (let parent = control.parentElement; parent; parent = parent.parentElement) {
        const frame = parent.getBoundingClientRect();
        // Rows scrolled out of the grid or the captions are reached by scrolling.
        const scrolls =
          parent.scrollHeight > parent.clientHeight && getComputedStyle(parent).overflowY === 'auto';
        const out = box.left < frame.left - 1 || box.right > frame.right + 1;
        const below =
          !scrolls &&
          parent !== control.closest('.dc-Grid-rows')?.parentElement &&
          box.bottom > frame.bottom + 1;
        if (getComputedStyle(parent).overflowX !== 'visible' && (out || below)) {
          clipped.push(`${control.getAttribute('aria-label') ?? control.textContent} in ${parent.className}`);
          break;
        }
        if (scrolls || parent === node) break;
      }
    }
    return clipped;
  });
}

const SIZES = [
  { name: '1280x720', width: 1280, height: 720 },
  { name: 'zoomed-150', width: 960, height: 600 },
  { name: 'narrow', width: 640, height: 800 },
];

for (const { name, ...size } of SIZES) {
  test(`everything fits at ${name}`, async ({ page, lab }) => {
    await page.setViewportSize(size);
    await openLab(page, lab, '');
    await thumbnails(page);
    await cells(page).first().focus();
    await page.keyboard.press('Space');
    await page.keyboard.press('Shift+ArrowRight');
    await page.keyboard.press('c');
    await expect(panel(page).getByText('Captioned 2 images')).toBeVisible({ timeout: 120_000 });
    await picture(page, `grid-${name}`);
    expect(await cutOff(page)).toEqual([]);
    await page.keyboard.press('Enter');
    await expect(panel(page).locator('.dc-Caption-text')).toHaveCount(2);
    await picture(page, `compare-${name}`);
    expect(await cutOff(page)).toEqual([]);
  });
}
