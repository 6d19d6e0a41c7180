import { defineConfig } from '@playwright/test';

/**
 * The interface in real Chromium, on a real JupyterLab with the real proxy and server. One worker: every test
 * starts a JupyterLab of its own (see `lab.ts`), and the model wants the cores.
 */
export default defineConfig({
  testDir: '.',
  outputDir: '../../test-results/browser',
  workers: 1,
  timeout: 240_000,
  expect: { timeout: 30_000 },
  reporter: [['list'], ['json']],
  use: {
    viewport: { width: 1440, height: 900 },
    actionTimeout: 30_000,
    trace: 'retain-on-failure',
    launchOptions: {
      ...(process.env.DERMCAP_CHROMIUM ? { executablePath: process.env.DERMCAP_CHROMIUM } : {}),
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
});
