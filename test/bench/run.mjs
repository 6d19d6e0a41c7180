/**
 * Measures the rows of rows.mjs: `npm run bench` sets up what this needs and starts it (README.md).
 *
 *     node run.mjs --pair DIR [--python PATH] [--threads N] [--repeats N] [--only PATTERN] [--quick] [--json FILE|-]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { captionBound, embedBound } from './bound.mjs';
import { Attention, measureCaption, measureEmbedding } from './measure.mjs';
import { readPair } from './model.mjs';
import { Asked, output } from './process.mjs';
import { costResult, report, resultOf } from './report.mjs';
import { LOADS, ROWS } from './rows.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const script = name => join(HERE, name);
const IMAGES = ['landscape', 'square', 'large', 'odd', 'portrait', 'small', 'tall', 'wide'].map(name =>
  join(HERE, '..', 'fixtures', 'captions', 'images', `${name}.png`),
);

const { values: options } = parseArgs({
  options: {
    pair: { type: 'string' },
    python: { type: 'string' },
    threads: { type: 'string', default: String(availableParallelism()) },
    repeats: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const threads = Number(options.threads);
const repeats = options.quick ? 1 : Number(options.repeats);
const env = { OMP_NUM_THREADS: options.threads };
const pattern = new RegExp(options.only, 'i');
/** stdout is for the result. */
const say = line => process.stderr.write(`• ${line}\n`);

const asked = ROWS.filter(row => pattern.test(row.name) && !(options.quick && /\b8\b/.test(row.name)));
/** With what the cost of a pair is made of. */
const names = new Set(asked.flatMap(row => [row.name, ...(row.kind === 'cost' ? [row.of, row.over] : [])]));
const wanted = ROWS.filter(({ name }) => names.has(name));
const measured = wanted.filter(({ kind }) => kind !== 'cost');
const inProcess = measured.filter(row => row.captioner);

const cacheDir = await mkdtemp(join(tmpdir(), 'dermcap-bench-'));
try {
  const pair = inProcess.length > 0 ? await readPair(options.pair, cacheDir) : null;
  const machine = await measureMachine();
  const reference = inProcess.length > 0 && options.python ? await openReference(pair) : null;
  const results = new Map();
  await measureCaptioners(results, reference?.process ?? null);
  await reference?.process.end();
  for (const row of measured) if (row.kind === 'script') results.set(row.name, await runScript(row));
  const loads = pattern.test('load') ? await measureLoads() : [];
  await measureMachine(machine);

  const bounds = new Map(
    inProcess.map(row => [row.name, boundOf(row, results.get(row.name), pair, machine)]),
  );
  const rows = wanted.flatMap(row => {
    if (row.kind === 'script') return results.get(row.name);
    if (row.kind === 'cost') return costResult(row, results, bounds);
    return resultOf(row, results.get(row.name), bounds.get(row.name));
  });
  await report({ machine, reference: reference?.about ?? null, rows, loads, ...options, repeats });
} finally {
  await rm(cacheDir, { recursive: true, force: true });
}

/** What the machine can do at most; given earlier figures, the best of both, since other work hides what it can. */
async function measureMachine(before = {}) {
  say('Measuring memory bandwidth and arithmetic');
  const found = JSON.parse(
    await output(process.execPath, [script('machine.mjs'), '--threads', options.threads]),
  );
  for (const peak of ['bandwidth', 'fp32', 'int8']) found[peak] = Math.max(found[peak], before[peak] ?? 0);
  return Object.assign(before, found, {
    processor: cpus()[0].model,
    cores: availableParallelism(),
    threads,
    memoryGB: Math.round(totalmem() / 1e9),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
  });
}

async function openReference({ stages }) {
  say('Opening the reference');
  const reference = new Asked(options.python, [script('serve_reference.py')], env);
  const request = { do: 'open', release: options.pair, threads, stages, images: IMAGES };
  const { versions } = await reference.ask(request);
  return { process: reference, about: { ...versions, threads } };
}

function openOurs() {
  return new Asked(process.execPath, [script('serve_ours.mjs')]);
}

/** Rows of one captioner in one process, few images first, since its memory only grows. */
async function measureCaptioners(results, reference) {
  const attentions = new Attention(reference);
  const groups = Map.groupBy(inProcess, ({ captioner }) => JSON.stringify(captioner));
  for (const rows of groups.values()) {
    const { captioner } = rows[0];
    const ours = openOurs();
    try {
      await ours.ask({ do: 'open', release: options.pair, threads, cacheDir, images: IMAGES, ...captioner });
      for (const row of rows.toSorted((a, b) => a.work.images - b.work.images)) {
        say(row.name);
        const rounds = row.work.images > 1 && row.kind === 'caption' ? Math.min(2, repeats) : repeats;
        const measure = row.kind === 'caption' ? measureCaption : measureEmbedding;
        const result = await measure(row, rounds, ours, reference, attentions);
        results.set(row.name, result);
        // A run that is broken off has told something.
        const took = Object.entries({ ours: result.ours, reference: result.reference });
        say(
          `  ${took.flatMap(([side, best]) => (best ? `${side} ${best.seconds.toFixed(2)} s` : [])).join(', ')}`,
        );
      }
    } catch (error) {
      for (const { name } of rows) if (!results.has(name)) results.set(name, { problem: error.message });
    } finally {
      await ours.end();
    }
  }
}

function boundOf({ kind, work, captioner: { stages, precision } }, result, { model, tower }, machine) {
  if (result.problem) return null;
  if (kind === 'embed') return embedBound(tower, work.images, precision, machine);
  const of = { ...work, stages: stages.length, precision, steps: result.steps.ours };
  return captionBound(model, tower, of, machine);
}

/** A script that measures rows of its own prints them, as report.mjs describes a row, as the last line of its output. */
async function runScript({ name, script: file, goal }) {
  say(name);
  const args = ['--json', '--threads', options.threads, '--repeats', String(repeats)];
  if (options.pair) args.push('--pair', options.pair);
  const python = options.python ? { DERMCAP_REFERENCE_PYTHON: options.python } : {};
  try {
    const text = await output(process.execPath, [script(file), ...args], { ...env, ...python });
    return JSON.parse(text.trim().split('\n').at(-1)).map(row => ({ goal, ...row }));
  } catch (error) {
    return [{ name, problem: error.message }];
  }
}

async function measureLoads() {
  const loads = [];
  const folders = {};
  for (const { precision, cache, goal } of LOADS) {
    folders[precision] ??= await mkdtemp(join(cacheDir, 'load-'));
    const name = `pair, ${precision}, ${cache} cache`;
    say(`Loading: ${name}`);
    const ours = openOurs();
    try {
      const request = { release: options.pair, threads, images: IMAGES.slice(0, 1), precision };
      const where = { stages: ['a', 'b'], cacheDir: folders[precision] };
      const opened = await ours.ask({ do: 'open', ...request, ...where });
      const first = await ours.ask({ do: 'caption', images: 1, beams: 4 });
      const { seconds, memory } = opened;
      loads.push({ name, goal, seconds, firstCaptionSeconds: first.seconds, memory });
    } catch (error) {
      loads.push({ name, goal, problem: error.message });
    } finally {
      await ours.end();
    }
  }
  return loads;
}
