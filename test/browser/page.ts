/** What the tests look for on the page, as a person would name it. */
import AxeBuilder from '@axe-core/playwright';
import { expect } from '@playwright/test';
import type { Locator, Page } from '@playwright/test';
import { join } from 'node:path';
import { screenshots } from './lab.js';

export const panel = (page: Page): Locator => page.locator('.dc-FolderView:visible');
export const grid = (page: Page): Locator => panel(page).getByRole('grid');
export const cells = (page: Page): Locator => grid(page).getByRole('gridcell');
/** The button that starts a run; its key is part of what is printed on it. */
export const captionButton = (page: Page): Locator =>
  panel(page)
    .getByRole('button', { name: /^Caption/ })
    .first();

export async function picture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(screenshots, `${name}.png`) });
}

/** Waits until the grid shows pictures, not grey blocks. */
export async function thumbnails(page: Page): Promise<void> {
  await expect(cells(page).first()).toBeVisible();
  await expect
    .poll(() =>
      grid(page).evaluate(node => {
        const images = [...node.querySelectorAll('img')];
        return images.length > 0 && images.every(image => image.complete && image.naturalWidth > 0);
      }),
    )
    .toBe(true);
}

/** Fails on every serious or critical violation that axe finds in the panel. */
export async function accessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).include('.dc-FolderView').analyze();
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  expect(serious.map(({ id, nodes }) => `${id}: ${nodes.map(node => node.html).join(' ')}`)).toEqual([]);
}

/** By the command palette: menus open one another on hover, which a busy machine does too late. */
export async function useTheme(page: Page, name: 'JupyterLab Light' | 'JupyterLab Dark'): Promise<void> {
  await choose(page, `use theme: ${name}`);
  const light = String(name === 'JupyterLab Light');
  await expect(page.locator('body')).toHaveAttribute('data-jp-theme-light', light);
}

/** Runs a command by its words in the palette. */
export async function choose(page: Page, words: string): Promise<void> {
  await page.getByRole('menuitem', { name: 'View', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Activate Command Palette' }).click();
  await page.locator('.lm-CommandPalette-input').fill(words);
  await page.keyboard.press('Enter');
}
