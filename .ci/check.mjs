// npm run check: the quick loop. Types, lint, format and unit tests.
import { installPackages, main } from './steps.mjs';
import { format, lint, runSuites, types, vitest } from './suites.mjs';

main(async () => {
  await installPackages();
  await runSuites([types, lint, format, () => vitest('unit', 'widgets')]);
});
