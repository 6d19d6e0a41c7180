/** What a person sees when something under the panel goes away: the server, a file, the folder. */
import { expect } from '@playwright/test';
import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openLab, test } from './lab.js';
import type { Lab } from './lab.js';
import { captionButton, cells, panel, picture, thumbnails } from './page.js';

/** A folder of its own with the first `count` images of the study. */
async function copyImages(lab: Lab, name: string, count: number): Promise<string> {
  const images = join(lab.folder, 'images');
  const files = (await readdir(images, { recursive: true })).filter(file => /\.(png|jpe?g|webp)$/.test(file));
  const folder = join(lab.folder, name);
  await mkdir(folder);
  for (const [i, file] of files.sort().slice(0, count).entries()) {
    await cp(join(images, file), join(folder, `${i}-${file.replaceAll('/', '-')}`));
  }
  return folder;
}

async function serverPid(lab: Lab): Promise<number> {
  const answer = await fetch(`${lab.url}/dermcap/api/health`, {
    headers: { Authorization: `token ${lab.token}` },
  });
  return ((await answer.json()) as { pid: number }).pid;
}

test('a server killed during a run: the panel says so in words, and captions the rest', async ({
  page,
  lab,
}) => {
  await copyImages(lab, 'killed', 60);
  await openLab(page, lab, 'killed');
  await thumbnails(page);
  await panel(page).getByRole('button', { name: 'Select all' }).click();
  await captionButton(page).click();
  const bar = panel(page).getByRole('progressbar', { name: 'Images captioned' });
  await expect(bar).toHaveAttribute('aria-valuenow', /^[1-9]/, { timeout: 120_000 });
  const pid = await serverPid(lab);
  process.kill(pid, 'SIGKILL');

  const run = panel(page).getByRole('group', { name: 'Caption run' });
  await expect(run.getByText('The run was lost')).toBeVisible();
  await expect(
    run.getByText(/The DermCap server stopped during this run and was started again/),
  ).toBeVisible();
  await picture(page, 'server-killed');
  expect(await serverPid(lab)).not.toBe(pid);
  // What was captioned before is still shown.
  await expect(cells(page).first()).toHaveAccessibleName(/captioned by A/);

  await run.getByRole('button', { name: /^Caption the other \d+/ }).click();
  await expect(panel(page).getByText(/^Captioned \d+ images$/)).toBeVisible({ timeout: 120_000 });
  await expect(cells(page).nth(59).or(cells(page).last())).toHaveAccessibleName(/captioned by A/);
});

test('an image removed after it was listed is named as failed, a removed folder as gone', async ({
  page,
  lab,
}) => {
  const folder = await copyImages(lab, 'vanishing', 3);
  await openLab(page, lab, 'vanishing');
  await thumbnails(page);
  await panel(page).getByRole('button', { name: 'Select all' }).click();
  const [gone] = (await readdir(folder)).sort();
  await rm(join(folder, gone!));
  await captionButton(page).click();
  await expect(panel(page).getByText('Captioned 2 images')).toBeVisible({ timeout: 120_000 });
  await expect(panel(page).getByText('1 failed')).toBeVisible();
  await expect(cells(page).first()).toHaveAccessibleName(/There is no “vanishing\//);

  await rm(folder, { recursive: true });
  await panel(page).getByRole('button', { name: 'Read the folder again' }).click();
  await expect(panel(page).getByText('There is no “vanishing” in the root folder.')).toBeVisible();
  await picture(page, 'folder-gone');
  await mkdir(folder);
  await panel(page).getByRole('button', { name: 'Retry' }).first().click();
  await expect(panel(page).getByText('This folder has no images yet.')).toBeVisible();
});

test('a picture that the browser cannot decode is said to be so, not left blank', async ({ page, lab }) => {
  await mkdir(join(lab.folder, 'undecodable'));
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  await writeFile(join(lab.folder, 'undecodable', 'header-only.png'), signature);
  await openLab(page, lab, 'undecodable');
  await cells(page).first().dblclick();
  const pane = panel(page).getByRole('region', { name: 'Compare' });
  await expect(pane.getByText('The browser cannot show this image.')).toBeVisible();
});

test('thumbnails that the server could not send come when it is back', async ({ page, lab }) => {
  await copyImages(lab, 'returning', 4);
  await page.route(/dermcap\/api\/thumbnail/, route => route.fulfill({ status: 502, body: '{}' }));
  await openLab(page, lab, 'returning');
  await expect(cells(page)).toHaveCount(4);
  await page.waitForTimeout(500);
  await page.unrouteAll();
  await thumbnails(page);
});
