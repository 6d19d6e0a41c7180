/** Folders and files whose names mean something to a URL, a shell, HTML or a path. */
import { expect } from '@playwright/test';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { openLab, test } from './lab.js';
import { captionButton, cells, panel, picture, thumbnails } from './page.js';

const NAMES = [
  '100% #1? a&b=c;d+e',
  '%2e%2e%2fup',
  `it's "quoted" <b>bold`,
  'Größe 皮膚 🩹 (1)',
  'e\u0301 decomposed',
  ' spaces ',
  'n'.repeat(200),
];
/** Not for folders: JupyterLab's file browser takes a backslash for a slash. */
const FILE_NAMES = [...NAMES, 'back\\slash', 'new\nline'];

test('folders and images of any name are listed, shown and captioned', async ({ page, lab }) => {
  const parent = join(lab.folder, 'names');
  const fill = { width: 48, height: 48, channels: 3 as const, background: '#c98' };
  const image = await sharp({ create: fill }).png().toBuffer();
  for (const name of FILE_NAMES) {
    const folder = join(parent, NAMES.includes(name) ? name : NAMES[0]!);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `${name}.png`), image);
  }
  const deep = join(parent, ...Array.from({ length: 30 }, (_, i) => `level ${i}`));
  await mkdir(deep, { recursive: true });
  await writeFile(join(deep, 'deep.png'), image);
  const total = FILE_NAMES.length + 1;

  await openLab(page, lab, 'names');
  await thumbnails(page);
  await expect(cells(page)).toHaveCount(total);
  await panel(page).getByRole('button', { name: 'Select all' }).click();
  await captionButton(page).click();
  await expect(panel(page).getByText(`Captioned ${total} images`)).toBeVisible({ timeout: 120_000 });
  await picture(page, 'names');
  await cells(page).first().dblclick();
  const pane = panel(page).getByRole('region', { name: 'Compare' });
  for (let n = 1; n <= total; n++) {
    await expect(pane.locator('.dc-ImageView-size')).toHaveText('48 × 48');
    await expect(pane.locator('.dc-Caption-text')).toHaveCount(2);
    if (n < total) await page.keyboard.press('ArrowRight');
  }

  await page.locator('.jp-DirListing-item', { hasText: /^names/ }).dblclick();
  for (const name of NAMES) {
    const item = page.locator('.jp-DirListing-item').filter({
      has: page.locator(`.jp-DirListing-itemText`).getByText(name, { exact: true }),
    });
    await item.click({ button: 'right' });
    await page.getByRole('menuitem', { name: 'Open in DermCap' }).click();
    await expect(panel(page).locator('h2').first()).toHaveText(name);
    await thumbnails(page);
    await expect(cells(page).first()).toHaveAccessibleName(/captioned by A/);
  }
});
