// npm run bench: figures, never tests. Name a Python with PyTorch and Pillow in DERMCAP_REFERENCE_PYTHON for ratios.
import { join } from 'node:path';
import { buildTypeScript, installPackages, main, node, root, run } from './steps.mjs';

main(async () => {
  await installPackages();
  await buildTypeScript();
  await run(node(), [join(root, 'test', 'bench', 'preprocess.mjs')]);
});
