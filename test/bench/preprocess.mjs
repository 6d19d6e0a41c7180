/**
 * Preprocessing of 12-megapixel JPEGs, ours and, where a Python with the reference's packages is named
 * (DERMCAP_REFERENCE_PYTHON), Pillow's, in turn and on one thread each. The tensors must be equal. Bound: decoding
 * alone, which both leave to libjpeg-turbo or what was made of it.
 *
 *     node preprocess.mjs [--repeats N] [--json]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { Asked } from './process.mjs';

const script = name => join(dirname(fileURLToPath(import.meta.url)), name);
const NAME = 'preprocessing, 12-megapixel JPEG';
const SHAPES = { landscape: [4000, 3000], portrait: [3000, 4000] };
const MODES = ['train-centre', 'openclip-eval'];
const INPUT = { size: 224, mean: [0.481, 0.458, 0.408], std: [0.269, 0.261, 0.276] };
/** Until V8 has compiled all that is run in its best way. */
const WARM_UP = 3;
/** A round takes half a second. */
const ROUNDS_A_REPEAT = 5;

/** A gradient with grain as of a camera: a JPEG of several megabytes. */
async function photograph(path, width, height) {
  const data = new Uint8Array(3 * width * height);
  let state = 1;
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    data[i] = 90 + (i % (3 * width)) / 100 + (state >>> 27);
  }
  await sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 90 })
    .toFile(path);
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
}

/**
 * Medians of turns, for each shape and mode.
 * @param python interpreter with Pillow, or undefined to measure ours alone
 * @param threads for libvips; Pillow always uses one
 * @returns rows as of report.mjs, times in ms by the clock; `cpu` has those of processors
 */
export async function preprocessRows({ python, threads = 1, repeats = 3 }) {
  const folder = await mkdtemp(join(tmpdir(), 'dermcap-bench-pixels-'));
  const ours = new Asked(process.execPath, [script('serve_pixels.mjs')]);
  const pillow = python ? new Asked(python, [script('pillow.py')]) : null;
  try {
    await ours.ask({ do: 'open', threads, input: INPUT });
    await pillow?.ask({ do: 'open', input: INPUT });
    const rows = [];
    for (const [shape, [width, height]] of Object.entries(SHAPES)) {
      const path = join(folder, `${shape}.jpg`);
      await photograph(path, width, height);
      for (const mode of MODES)
        rows.push(
          rowOf(`${NAME}, ${shape}, ${mode}`, await takeTurns({ path, mode }, repeats, ours, pillow)),
        );
    }
    return rows;
  } finally {
    await ours.end();
    await pillow?.end();
    await rm(folder, { recursive: true });
  }
}

async function takeTurns(image, repeats, ours, pillow) {
  const turns = { ours: [], bound: [], reference: [] };
  for (let round = -WARM_UP; round < repeats * ROUNDS_A_REPEAT; round++) {
    const answers = {
      ours: await ours.ask({ do: 'pixels', ...image }),
      bound: await ours.ask({ do: 'decode', path: image.path }),
      reference: await pillow?.ask({ do: 'pixels', ...image }),
    };
    if (pillow && answers.reference.sha256 !== answers.ours.sha256)
      throw new Error(`The tensors differ: ${JSON.stringify(image)}.`);
    if (round >= 0) for (const side of Object.keys(turns)) turns[side].push(answers[side]);
  }
  return turns;
}

function rowOf(name, { ours, bound, reference }) {
  const compared = reference[0] ? reference : null;
  const times = key => {
    const of = answers => median(answers.map(answer => answer[key]));
    const row = { ours: of(ours), reference: compared && of(compared), bound: of(bound) };
    return { ...row, ratio: compared && row.reference / row.ours, ofBound: row.bound / row.ours };
  };
  const cpu = times('cpuMs');
  const memory = { ours: largestMemory(ours), reference: compared && largestMemory(compared) };
  const note = compared && `processor time: ${cpu.ratio.toFixed(2)}×`;
  const peakRssMB = memory.ours.resident;
  return { name, unit: 'ms', ...times('wallMs'), peakRssMB, memory, cpu, ...(note && { note }) };
}

/** In MB. */
function largestMemory(answers) {
  const largest = field => Math.round(Math.max(...answers.map(({ memory }) => memory?.[field] ?? NaN)) / 1e6);
  return { resident: largest('resident'), anonymous: largest('anonymous'), mapped: largest('mapped') };
}

function printed({ name, memory, cpu, ...wall }) {
  const times = ({ ours, reference, bound, ratio }) => ({
    ours: Math.round(ours),
    Pillow: reference && Math.round(reference),
    bound: Math.round(bound),
    ratio: ratio && `${ratio.toFixed(2)}×`,
  });
  const onProcessor = Object.entries(times(cpu)).map(([key, value]) => [`${key} (CPU)`, value]);
  const peaks = { 'peak MB': memory.ours.resident, 'Pillow MB': memory.reference?.resident };
  return [name.slice(NAME.length + 2), { ...times(wall), ...Object.fromEntries(onProcessor), ...peaks }];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      repeats: { type: 'string', default: '3' },
      json: { type: 'boolean', default: false },
      // Given to every script of the bench; no use here.
      threads: { type: 'string' },
      pair: { type: 'string' },
    },
  });
  const python = process.env.DERMCAP_REFERENCE_PYTHON;
  const rows = await preprocessRows({ python, repeats: Number(values.repeats) });
  if (values.json) console.log(JSON.stringify(rows));
  else {
    console.log(`${NAME}, ms`);
    console.table(Object.fromEntries(rows.map(printed)));
  }
}
