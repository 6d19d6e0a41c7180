/**
 * What a person does first: open the demo study, choose images, caption them with both stages, compare.
 * On a real JupyterLab with the real proxy, server and model; keeps pictures of what it saw.
 */
import { expect } from '@playwright/test';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openLab, test } from './lab.js';
import {
  accessible,
  captionButton,
  cells,
  choose,
  grid,
  panel,
  picture,
  thumbnails,
  useTheme,
} from './page.js';

test.describe.configure({ mode: 'serial' });

test('the launcher card opens the folder, with the number of its images', async ({ page, lab }) => {
  await openLab(page, lab);
  await page
    .getByRole('button', { name: 'DermCap' })
    .or(page.locator('.jp-LauncherCard[title*="skin images"]'))
    .first()
    .click();
  await expect(panel(page).getByText(/^3\d\d images$/)).toBeVisible();
  await thumbnails(page);
  await picture(page, 'grid-light');
  await accessible(page);
});

test('the palette opens the current folder', async ({ page, lab }) => {
  await openLab(page, lab);
  await choose(page, 'current folder in dermcap');
  await expect(panel(page).getByRole('button', { name: 'Select all' })).toBeVisible();
});

test('a folder of the file browser opens from its context menu, an empty one says so', async ({
  page,
  lab,
}) => {
  await mkdir(join(lab.folder, 'nothing-here'), { recursive: true });
  await openLab(page, lab);
  const folder = page.locator('.jp-DirListing-item', { hasText: 'nothing-here' });
  await folder.click({ button: 'right' });
  await page.getByRole('menuitem', { name: 'Open in DermCap' }).click();
  await expect(panel(page).getByText('This folder has no images yet.')).toBeVisible();
  await picture(page, 'empty-folder');
});

test('images chosen by keyboard are captioned by both stages, side by side', async ({ page, lab }) => {
  await openLab(page, lab, '');
  await thumbnails(page);
  await expect(page).not.toHaveURL(/dermcap/);
  await cells(page).first().focus();
  await page.keyboard.press('Space');
  await page.keyboard.press('Shift+ArrowRight');
  await page.keyboard.press('Shift+ArrowRight');
  await expect(panel(page).getByText('3 selected', { exact: true })).toBeVisible();
  await page.keyboard.press('c');
  await expect(panel(page).getByText('Captioned 3 images')).toBeVisible({ timeout: 120_000 });
  await picture(page, 'captioned-light');

  await page.keyboard.press('Enter');
  const a = panel(page).getByRole('region', { name: 'Stage A' });
  const b = panel(page).getByRole('region', { name: 'Stage B' });
  await expect(a.locator('.dc-Caption-text')).toContainText(/Diagnosis/i);
  await expect(b.locator('.dc-Caption-text')).toContainText(/photo|image|shows|consistent/i);
  await expect(a.locator('mark').first()).toBeVisible();
  await expect(b.locator('mark').first()).toBeVisible();
  for (const stage of [a, b]) {
    await expect(stage.getByText('exact, cpu')).toBeVisible();
    await expect(stage.getByText('Release', { exact: true })).toBeVisible();
    await stage.getByText('Prompt', { exact: true }).click();
  }
  await expect(a).toContainText('In ≤25 words, describe primary lesion morphology');
  await expect(b).toContainText('Describe the skin lesion concisely');
  await expect(panel(page).getByText('Research use only, not for clinical use')).toBeVisible();
  await picture(page, 'compare-light');
  await accessible(page);

  const first = await a.locator('.dc-Caption-text').innerText();
  await page.keyboard.press('ArrowLeft');
  await expect(a.locator('.dc-Caption-text')).not.toHaveText(first);
  await page.keyboard.press('Escape');
  await expect(grid(page)).toBeVisible();
});

test('captions are still there after a reload, in the dark theme too', async ({ page, lab }) => {
  await openLab(page, lab, '');
  await thumbnails(page);
  await useTheme(page, 'JupyterLab Dark');
  await cells(page).first().click();
  await page.keyboard.press('Enter');
  await expect(panel(page).getByRole('region', { name: 'Stage B' }).locator('mark').first()).toBeVisible();
  await picture(page, 'compare-dark');
  await accessible(page);
  await page.keyboard.press('Escape');
  await picture(page, 'grid-dark');
  await accessible(page);
  await page.setViewportSize({ width: 1280, height: 720 });
  await page.keyboard.press('Enter');
  await picture(page, 'compare-dark-1280');
  await useTheme(page, 'JupyterLab Light');
});

test('a long run shows its progress and can be cancelled; what is done stays', async ({ page, lab }) => {
  await openLab(page, lab, '');
  await thumbnails(page);
  await panel(page).getByRole('button', { name: 'Select all' }).click();
  await captionButton(page).click();
  const bar = panel(page).getByRole('progressbar', { name: 'Images captioned' });
  await expect(bar).toHaveAttribute('aria-valuenow', /^[1-9]/, { timeout: 120_000 });
  await picture(page, 'running');
  await panel(page).getByRole('button', { name: 'Cancel' }).click();
  await expect(panel(page).getByText('Cancelled', { exact: true })).toBeVisible({ timeout: 60_000 });
  await expect(panel(page).getByRole('button', { name: /Caption the other/ })).toBeVisible();
  await picture(page, 'cancelled');
});

test('an image that cannot be read is named with its reason, the others are captioned', async ({
  page,
  lab,
}) => {
  const folder = join(lab.folder, 'damaged');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'broken.jpg'), 'this is no picture');
  await writeFile(join(folder, 'empty.png'), '');
  const { default: sharp } = await import('sharp');
  const fill = { width: 64, height: 64, channels: 3 as const, background: '#c98' };
  await sharp({ create: fill }).png().toFile(join(folder, 'fine.png'));
  await openLab(page, lab, 'damaged');
  await expect(panel(page).getByText('3 images')).toBeVisible();
  await panel(page).getByRole('button', { name: 'Select all' }).click();
  await captionButton(page).click();
  await expect(panel(page).getByText('Captioned 1 image')).toBeVisible({ timeout: 120_000 });
  await expect(panel(page).getByText('2 failed')).toBeVisible();
  await panel(page).getByRole('button', { name: 'Show the failed images' }).click();
  await cells(page).first().dblclick();
  await expect(panel(page).getByText('No captions: the image cannot be read.')).toBeVisible();
  await picture(page, 'unreadable');
  await accessible(page);
});
