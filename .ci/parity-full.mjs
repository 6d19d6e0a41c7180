/**
 * `npm run parity:full [-- --keep] [-- --out DIR]`: a full-size pair captioned by the reference and by DermCap, one process
 * after the other, two threads each unless `--threads N`. See test/full-size/README.md.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { referencePython } from './reference.mjs';
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
const python =
  process.env.DERMCAP_REFERENCE_PYTHON ??
  (await referencePython('.reference-venv', 'test/fixtures/requirements.txt'));
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
