// npm test: sets up what is missing (Chromium too) and runs every test there is.
import { chromium } from './browser.mjs';
import { main, setUp } from './steps.mjs';
import { format, lint, playwright, pytest, ruff, runSuites, types, vitest } from './suites.mjs';

main(async () => {
  await setUp();
  const browser = await chromium();
  await runSuites([
    types,
    lint,
    format,
    ruff,
    () => vitest('unit', 'widgets'),
    () => vitest('server'),
    () => vitest('parity'),
    pytest,
    () => playwright(browser),
  ]);
});
