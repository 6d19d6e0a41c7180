/**
 * `npm run bench [-- FLAGS]`: ratios to the reference, never tests. Sets up what test/bench/run.mjs needs and starts it:
 * test/bench/README.md. A full run takes 15 to 20 minutes on two cores.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { referencePython } from './reference.mjs';
import { buildTypeScript, installPackages, main, node, root, run } from './steps.mjs';

/** Two checkpoints of 1.7 GB, a tower of 0.8 GB; merged and 8-bit weights in a cache beside them. */
const DISK_BYTES = 6.5e9;
const script = (...parts) => join(root, 'test', ...parts);

const { values } = parseArgs({
  args: withJsonFile(process.argv.slice(2)),
  options: {
    pair: { type: 'string' },
    threads: { type: 'string' },
    repeats: { type: 'string' },
    only: { type: 'string' },
    quick: { type: 'boolean' },
    json: { type: 'string' },
    'ours-only': { type: 'boolean', default: false },
  },
});
// stdout is for the result.
if (values.json === '-') console.log = console.error;

main(async () => {
  await installPackages();
  await buildTypeScript();
  const python = await findPython();
  const folder = values.pair ? resolve(values.pair) : await mkdtemp(join(tmpdir(), 'dermcap-bench-pair-'));
  try {
    await makePair(folder, python);
    const args = ['--pair', folder];
    if (python && !values['ours-only']) args.push('--python', python);
    for (const name of ['threads', 'repeats', 'only', 'json'])
      if (values[name]) args.push(`--${name}`, values[name]);
    if (values.quick) args.push('--quick');
    await run(node(), [script('bench', 'run.mjs'), ...args]);
  } finally {
    if (!values.pair) await rm(folder, { recursive: true, force: true });
  }
});

/** `--json` alone writes to stdout. */
function withJsonFile(args) {
  return args.flatMap((arg, i) => {
    if (arg !== '--json') return [arg];
    const next = args[i + 1];
    return next === undefined || next.startsWith('--') ? ['--json', '-'] : [arg];
  });
}

async function findPython() {
  if (process.env.DERMCAP_REFERENCE_PYTHON) return process.env.DERMCAP_REFERENCE_PYTHON;
  try {
    return await referencePython('.reference-venv', 'test/fixtures/requirements.txt');
  } catch (error) {
    console.error(`${error.message}\nWithout the reference's packages: ours only.`);
    return undefined;
  }
}

async function makePair(folder, python) {
  if (existsSync(join(folder, 'best_stageB.pt'))) return;
  if (!python)
    throw new Error(
      'Writing a full-size pair takes PyTorch. Name a Python with the packages of test/fixtures/requirements.txt in ' +
        'DERMCAP_REFERENCE_PYTHON, or a folder with a pair of the published size (--pair DIR).',
    );
  await mkdir(folder, { recursive: true });
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < DISK_BYTES)
    throw new Error(
      `${folder} has ${(bavail * bsize) / 1e9} GB left; ${DISK_BYTES / 1e9} are needed. Name another with --pair DIR.`,
    );
  console.error(`• Writing a full-size pair into ${folder}`);
  await run(python, [script('full-size', 'make_pair.py'), '--out', folder], { quiet: true });
}
