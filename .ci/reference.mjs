/** PyTorch, transformers and open_clip, for what compares with them or trains: never needed by the product or `npm test`. */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root, run, systemPython, venvPython } from './steps.mjs';

/**
 * Python of a virtual environment beside the code, with the pinned packages installed.
 * @param folder its name in the repository's root
 * @param list the requirements' path from there
 */
export async function referencePython(folder, list) {
  const venv = join(root, folder);
  const requirements = join(root, list);
  const path = venvPython(venv);
  const stamp = join(venv, 'installed');
  const wanted = await readFile(requirements, 'utf8');
  if (existsSync(stamp) && (await readFile(stamp, 'utf8')) === wanted) return path;
  console.log(`• Installing PyTorch, transformers and open_clip into ${folder} (once, a few minutes)`);
  await run(await systemPython(), ['-m', 'venv', venv]);
  const install = ['-m', 'pip', 'install', '--disable-pip-version-check', '-qq'];
  // PyTorch's own index has builds without CUDA, far smaller; the default index serves where it cannot be reached.
  const torch = wanted.split('\n').filter(line => /^torch(vision)?==/.test(line));
  const small = [
    ...install,
    '--retries',
    '0',
    '--timeout',
    '10',
    '--index-url',
    'https://download.pytorch.org/whl/cpu',
    ...torch,
  ];
  await run(path, small, { quiet: true }).catch(() => {});
  await run(path, [...install, '-r', requirements]);
  await writeFile(stamp, wanted);
  return path;
}
