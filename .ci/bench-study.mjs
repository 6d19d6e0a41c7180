// npm run bench:study: a study of 100,000 images, as figures. See test/bench/study.mjs.
import { join } from 'node:path';
import { buildTypeScript, installPackages, main, node, root, run } from './steps.mjs';

main(async () => {
  await installPackages();
  await buildTypeScript();
  await run(node(), [join(root, 'test', 'bench', 'study.mjs'), ...process.argv.slice(2)]);
});
