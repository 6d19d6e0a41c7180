/**
 * A JupyterLab for a test: the environment that `npm start` uses, on a fresh copy of a folder, with a token of
 * its own, stopped at the end. Nothing of the person's own Jupyter configuration is read.
 */
import { test as base } from '@playwright/test';
import type { Page } from '@playwright/test';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../..');
export const screenshots = join(root, 'test-results', 'screenshots');

export interface Lab {
  url: string;
  token: string;
  /** The folder JupyterLab stands on. */
  folder: string;
  log: () => string;
  stop: () => Promise<void>;
}

/** Starts JupyterLab on a copy of `study` and waits until it answers. */
export async function startLab(study: string): Promise<Lab> {
  const home = await mkdtemp(join(tmpdir(), 'dermcap-lab-'));
  const folder = join(home, 'study');
  await cp(study, folder, { recursive: true });
  const token = randomBytes(16).toString('hex');
  const port = await freePort();
  const bin = join(root, '.venv', process.platform === 'win32' ? 'Scripts' : 'bin');
  const args = [
    '-m',
    'jupyterlab',
    '--no-browser',
    '--allow-root',
    '--ServerApp.ip=127.0.0.1',
    `--ServerApp.port=${port}`,
    '--ServerApp.port_retries=0',
    `--ServerApp.root_dir=${folder}`,
    `--LabApp.workspaces_dir=${join(home, 'workspaces')}`,
    `--LabApp.user_settings_dir=${join(home, 'settings')}`,
  ];
  const child = spawn(join(bin, 'python'), args, {
    cwd: folder,
    env: {
      ...process.env,
      HOME: home,
      JUPYTER_TOKEN: token,
      JUPYTER_CONFIG_DIR: join(home, 'config'),
      JUPYTER_RUNTIME_DIR: join(home, 'runtime'),
      DERMCAP_CACHE: join(home, 'cache'),
      DERMCAP_NODE: join(root, 'node_modules', 'node', 'bin', 'node'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  child.stdout.on('data', data => (log += data));
  child.stderr.on('data', data => (log += data));
  const url = `http://127.0.0.1:${port}`;
  await answers(`${url}/api/status?token=${token}`, child, () => log);
  return {
    url,
    token,
    folder,
    log: () => log,
    stop: async () => {
      const ended = new Promise(done => child.once('exit', done));
      if (child.exitCode === null) {
        child.kill('SIGTERM');
        await ended;
      }
      await rm(home, { recursive: true, force: true });
    },
  };
}

async function answers(url: string, child: ChildProcess, log: () => string): Promise<void> {
  const end = Date.now() + 60_000;
  while (Date.now() < end) {
    if (child.exitCode !== null) break;
    if (
      await fetch(url).then(
        response => response.ok,
        () => false,
      )
    )
      return;
    await new Promise(done => setTimeout(done, 200));
  }
  throw new Error(`JupyterLab did not start:\n${log()}`);
}

function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const server = createServer().on('error', failed);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => found(port));
    });
  });
}

/**
 * Opens JupyterLab with an empty layout, on a folder in DermCap or on the launcher, and waits until that stands:
 * what comes later would take the focus away.
 */
export async function openLab(page: Page, lab: Lab, folder?: string): Promise<void> {
  const open = folder === undefined ? '' : `&dermcap=${encodeURIComponent(folder)}`;
  await page.goto(`${lab.url}/lab?reset${open}&token=${lab.token}`);
  await page.locator('#jupyterlab-splash').waitFor({ state: 'detached', timeout: 60_000 });
  const first = folder === undefined ? '.jp-Launcher' : '.dc-FolderView';
  await page.locator(first).first().waitFor({ timeout: 60_000 });
}

/** Tests that share one JupyterLab on the demo study. */
export const test = base.extend<object, { lab: Lab }>({
  lab: [
    // eslint-disable-next-line no-empty-pattern -- Playwright reads the pattern
    async ({}, use) => {
      await mkdir(screenshots, { recursive: true });
      const lab = await startLab(join(root, 'models', 'demo', 'study'));
      await use(lab);
      await lab.stop();
    },
    { scope: 'worker', timeout: 120_000 },
  ],
});
