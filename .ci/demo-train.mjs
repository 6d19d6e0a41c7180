// npm run demo:train: trains the demo release again (about half an hour on two cores; installs PyTorch).
import { join } from 'node:path';
import { referencePython } from './reference.mjs';
import { main, root, run } from './steps.mjs';

main(async () => {
  const python =
    process.env.DERMCAP_REFERENCE_PYTHON ??
    (await referencePython('.demo-venv', 'models/demo/requirements.txt'));
  const demo = join(root, 'models', 'demo');
  await run(python, [join(demo, 'train.py'), '--out', join(demo, 'release'), ...process.argv.slice(2)]);
});
