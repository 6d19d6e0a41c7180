// npm test: sets up what is missing (Chromium too) and runs every test there is.
import { chromium } from './browser.mjs';
import { main, setUp } from './steps.mjs';
import {
  format,
  lint,
  playwright,
  pytest,
  pythonFormat,
  pythonLint,
  runSuites,
  types,
  vitest,
} from './suites.mjs';

main(async () => {
  await setUp();
  const browser = await chromium();
  await runSuites([
    types,
    lint,
    format,
    pythonLint,
    pythonFormat,
    () => vitest('unit', 'widgets'),
    () => vitest('server'),
    () => vitest('parity'),
    () => vitest('webgpu'),
    pytest,
    () => playwright(browser),
  ]);
});
