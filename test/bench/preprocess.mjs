/**
 * Preprocessing of a 12-megapixel JPEG on one core, ours and, where a Python with the reference's packages is
 * named (DERMCAP_REFERENCE_PYTHON), Pillow's in the same run. Processor time, since the machine may be busy.
 * Bound: decoding alone, which both leave to libjpeg-turbo.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeImage, loadPixels } from '@dermcap/models';
import sharp from 'sharp';

const [WIDTH, HEIGHT, RUNS] = [4000, 3000, 5];
const input = { size: 224, mean: [0.481, 0.458, 0.408], std: [0.269, 0.261, 0.276] };

/** A gradient with grain as of a camera: a JPEG of several megabytes. */
function photograph() {
  const data = new Uint8Array(3 * WIDTH * HEIGHT);
  let state = 1;
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    data[i] = 90 + (i % (3 * WIDTH)) / 100 + (state >>> 27);
  }
  return data;
}

/** Median processor time in ms; the first run, which compiles, is left out. */
async function processorMs(work) {
  const times = [];
  for (let run = 0; run <= RUNS; run++) {
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    if (run > 0) times.push((user + system) / 1000);
  }
  return times.sort((a, b) => a - b)[RUNS >> 1];
}

const folder = await mkdtemp(join(tmpdir(), 'dermcap-bench-'));
try {
  const path = join(folder, 'photograph.jpg');
  await sharp(photograph(), { raw: { width: WIDTH, height: HEIGHT, channels: 3 } })
    .jpeg({ quality: 90 })
    .toFile(path);
  sharp.concurrency(1);
  sharp.cache(false);
  const ours = await processorMs(() => loadPixels(path, 'train-centre', input));
  const bound = await processorMs(() => decodeImage(path));
  const row = {
    name: 'preprocessing, 12-megapixel JPEG (ms)',
    ours: Math.round(ours),
    bound: Math.round(bound),
  };
  const python = process.env.DERMCAP_REFERENCE_PYTHON;
  if (python) {
    const script = join(dirname(fileURLToPath(import.meta.url)), 'pillow.py');
    const reference = Number(execFileSync(python, [script, path, String(RUNS)], { encoding: 'utf8' }));
    Object.assign(row, { reference: Math.round(reference), ratio: `${(reference / ours).toFixed(2)}×` });
  }
  console.table([row]);
} finally {
  await rm(folder, { recursive: true });
}
