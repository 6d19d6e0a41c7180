/** Everything without a mouse, from the launcher to the captions side by side and back. */
import { expect } from '@playwright/test';
import type { Page } from '@playwright/test';
import { openLab, test } from './lab.js';
import { cells, grid, panel, picture, thumbnails } from './page.js';

/** The element with the focus: its name, whether the focus can be seen, and whether it lies in view. */
async function focused(page: Page): Promise<{ name: string; ring: boolean; inView: boolean; role: string }> {
  return page.evaluate(() => {
    const element = document.activeElement as HTMLElement;
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    const { clientWidth, clientHeight } = document.documentElement;
    const label = element.closest('label')?.textContent ?? '';
    return {
      name: element.getAttribute('aria-label') ?? (element.textContent || label),
      role: element.getAttribute('role') ?? element.localName,
      ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1,
      inView: box.left >= 0 && box.top >= 0 && box.right <= clientWidth + 1 && box.bottom <= clientHeight + 1,
    };
  });
}

/** Presses Tab until `wanted` holds the focus; returns what was passed on the way. */
async function tabTo(page: Page, wanted: RegExp, key = 'Tab', most = 60): Promise<string[]> {
  const passed: string[] = [];
  for (let n = 0; n < most; n++) {
    await page.keyboard.press(key);
    const now = await focused(page);
    if (wanted.test(now.name)) return passed;
    passed.push(now.name);
  }
  throw new Error(`Tab never came to ${wanted}; it passed ${passed.join(' | ')}`);
}

test('from the launcher to the captions and back by keyboard alone', async ({ page, lab }) => {
  await openLab(page, lab);
  await tabTo(page, /^DermCap/);
  await page.keyboard.press('Enter');
  await thumbnails(page);
  await expect(cells(page).first()).toBeFocused();

  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Space');
  await page.keyboard.press('Shift+ArrowRight');
  await expect(panel(page).getByText('2 selected', { exact: true })).toBeVisible();
  // The button itself, not its key.
  await tabTo(page, /^Caption/, 'Shift+Tab');
  expect(await focused(page)).toMatchObject({ ring: true, inView: true });
  await page.keyboard.press('Enter');
  await expect(panel(page).getByText('Captioned 2 images')).toBeVisible({ timeout: 120_000 });

  await tabTo(page, /captioned by A/);
  await page.keyboard.press('Enter');
  const pane = panel(page).getByRole('region', { name: 'Compare' });
  await expect(pane).toBeFocused();
  await expect(pane.locator('.dc-Caption-text')).toHaveCount(2);
  // Everything in the pane is reached, has a name, shows the focus and stands in view.
  const reached: string[] = [];
  for (let n = 0; n < 14; n++) {
    await page.keyboard.press('Tab');
    if (!(await pane.evaluate(node => node.contains(document.activeElement)))) break;
    const now = await focused(page);
    expect(now, now.name).toMatchObject({ ring: true, name: expect.stringMatching(/\S/) });
    reached.push(now.name);
    if (/^Zoom in/.test(now.name)) await picture(page, 'keyboard-focus');
  }
  expect(reached.join('; ')).toMatch(
    /Back to the images.*Previous image.*Next image.*Zoom out.*Zoom in.*Fit.*Captions.*Copy.*Prompt.*Copy.*Prompt/,
  );

  await pane.focus();
  const name = await pane.getByRole('heading', { level: 2 }).innerText();
  await page.keyboard.press('ArrowLeft');
  await expect(pane.getByRole('heading', { level: 2 })).not.toHaveText(name);
  await page.keyboard.press('Escape');
  await expect(pane).toBeHidden();
  await expect(grid(page).locator(':focus')).toHaveCount(1);
  await page.keyboard.press('Escape');
  await expect(panel(page).getByText('2 selected', { exact: true })).toBeHidden();
});

test('a run is cancelled by its key, and the focus stays in the panel', async ({ page, lab }) => {
  await openLab(page, lab, '');
  await thumbnails(page);
  await expect(cells(page).first()).toBeFocused();
  await page.keyboard.press('Control+a');
  await page.keyboard.press('c');
  const cancel = panel(page).getByRole('button', { name: 'Cancel' });
  await cancel.focus();
  await page.keyboard.press('.');
  await expect(panel(page).getByText('Cancelled', { exact: true })).toBeVisible({ timeout: 60_000 });
  expect(await panel(page).evaluate(node => node.contains(document.activeElement))).toBe(true);
});
