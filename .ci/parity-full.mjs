/**
 * `npm run parity:full [-- --keep] [-- --out DIR]`: a full-size pair captioned by the reference and by DermCap, one process
 * after the other, two threads each unless `--threads N`. See test/full-size/README.md.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { buildTypeScript, installPackages, node, root, run } from './steps.mjs';

/** Two checkpoints of 1.7 GB, a tower of 0.8 GB, LoRA merged into the cache, some air. */
const DISK_BYTES = 5.5e9;
const IMAGES = ['landscape.png', 'square.png'].map(name =>
  join(root, 'test', 'fixtures', 'captions', 'images', name),
);
const script = name => join(root, 'test', 'full-size', name);

const { values } = parseArgs({
  options: {
    keep: { type: 'boolean' },
    out: { type: 'string' },
    threads: { type: 'string', default: '2' },
  },
});

await installPackages();
await buildTypeScript();
const python = process.env.DERMCAP_REFERENCE_PYTHON ?? (await referencePython());
const folder = values.out ? resolve(values.out) : await mkdtemp(join(tmpdir(), 'dermcap-full-size-'));
await mkdir(folder, { recursive: true });
try {
  const finished = join(folder, 'clip', 'open_clip_pytorch_model.bin');
  if (existsSync(finished)) console.log(`• Using the pair in ${folder}`);
  else {
    const { bavail, bsize } = await statfs(folder);
    if (bavail * bsize < DISK_BYTES)
      throw new Error(
        `${folder} has ${(bavail * bsize) / 1e9} GB left; 5.5 GB are needed. Name another folder with --out.`,
      );
    console.log(`• Writing a full-size pair into ${folder}`);
    await run(python, [script('make_pair.py'), '--out', folder]);
  }
  const env = { OMP_NUM_THREADS: values.threads };
  const result = join(folder, 'reference.json');
  console.log('• Captioning with the reference (a minute or two)');
  await run(
    python,
    [script('reference.py'), '--release', folder, '--json', result, '--threads', values.threads, ...IMAGES],
    { env },
  );
  console.log('• Captioning with DermCap');
  await run(node(), [
    script('run.mjs'),
    '--release',
    folder,
    '--reference',
    result,
    '--threads',
    values.threads,
    ...IMAGES,
  ]);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  if (values.keep) console.log(`Kept: ${folder}`);
  else if (!values.out) await rm(folder, { recursive: true, force: true });
}

/** Python of .reference-venv, with the pinned packages installed. */
async function referencePython() {
  const venv = join(root, '.reference-venv');
  const requirements = join(root, 'test', 'fixtures', 'requirements.txt');
  const windows = process.platform === 'win32';
  const path = join(venv, windows ? 'Scripts' : 'bin', windows ? 'python.exe' : 'python');
  const stamp = join(venv, 'installed');
  const wanted = await readFile(requirements, 'utf8');
  if (existsSync(stamp) && (await readFile(stamp, 'utf8')) === wanted) return path;
  console.log('• Installing PyTorch, transformers and open_clip into .reference-venv (once, a few minutes)');
  await run(process.env.DERMCAP_PYTHON ?? 'python3', ['-m', 'venv', venv]);
  const install = [...['-m', 'pip', 'install', '--disable-pip-version-check', '-q']];
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
