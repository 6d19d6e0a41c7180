/** A Chromium for the browser tests: one that is there, or one that Playwright or apt can install. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { node, root, run } from './steps.mjs';

const PLACES = [
  process.env.DERMCAP_CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** @returns its path, or null for the one that Playwright installed for itself */
export async function chromium() {
  const found = PLACES.find(path => path && existsSync(path));
  if (found) return found;
  console.log('• Installing Chromium for the browser tests');
  const playwright = join(root, 'node_modules', '@playwright', 'test', 'cli.js');
  if (
    await run(node(), [playwright, 'install', 'chromium'], { quiet: true }).then(
      () => true,
      () => false,
    )
  )
    return null;
  const apt = process.getuid?.() === 0 ? ['apt-get'] : ['sudo', '-n', 'apt-get'];
  const install = async (...args) => run(apt[0], [...apt.slice(1), ...args], { quiet: true });
  await install('update').catch(() => {});
  await install('install', '-y', '--no-install-recommends', 'chromium', 'fonts-dejavu-core').catch(() => {
    throw new Error(
      'No Chromium was found or could be installed. Install one and name it in DERMCAP_CHROMIUM.',
    );
  });
  return '/usr/bin/chromium';
}
