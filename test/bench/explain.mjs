/**
 * Rows about explanations: what one takes, without saliency, against our own captioner decoding the same caption
 * greedily in fp32. Both take turns in one process; the shortest round counts.
 *
 *     node explain.mjs --pair DIR [--threads N] [--repeats N] [--json]
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadPixels, openCaptioner, openExplainer } from '@dermcap/models';

const IMAGE = fileURLToPath(new URL('../fixtures/captions/images/landscape.png', import.meta.url));
const GREEDY = { numBeams: 1 };
/** Tokens of a caption as long as the longest that is decoded, to measure memory before a captioner is open. */
const SIXTY = Array.from({ length: 60 }, (_, i) => i + 1);

/**
 * @param release folder of a pair (Stage A and Stage B)
 * @param clip its tower; default: the release's own
 * @returns rows as report.mjs describes them
 */
export async function explainRows({ release, clip, threads = availableParallelism(), repeats = 3 }) {
  const cacheDir = await mkdtemp(join(tmpdir(), 'dermcap-bench-explain-'));
  const options = {
    releases: [{ dir: release, clipDir: clip, stages: ['a', 'b'] }],
    provider: 'cpu',
    threads,
    cacheDir,
  };
  const explainer = await openExplainer(options);
  const open = [explainer];
  try {
    const pixels = await loadPixels(IMAGE, 'train-centre', explainer.inputs[0]);
    const explain = async (texts, stages) => {
      for (const text of texts) await explainer.explain(pixels, { text, stages });
      await explainer.visionRollout(pixels);
    };
    // What is not asked for is not read: one stage first.
    await explain([SIXTY], [0]);
    const one = await memory();
    await explain([SIXTY], [0, 1]);
    const both = await memory();

    const captioners = [];
    for (const stages of [['a'], ['a', 'b']]) {
      const captioner = await openCaptioner({ ...options, releases: [{ ...options.releases[0], stages }] });
      open.push(captioner);
      captioners.push(captioner);
    }
    const rows = [
      {
        name: 'explanation of one caption under its stage',
        stages: [0],
        ...one,
        goal: { least: 0.5 },
      },
      { name: 'explanation of both captions under both stages', stages: [0, 1], ...both, goal: null },
    ];
    const results = [];
    for (const [i, { stages, ...row }] of rows.entries()) {
      const [first] = await captioners[i].caption([pixels], { decoding: GREEDY });
      const texts = first.map(({ tokens }) => tokens);
      await explain(texts, stages);
      const seconds = { ours: Infinity, reference: Infinity };
      for (let round = 0; round < repeats; round++) {
        const took = await timed(() => explain(texts, stages));
        seconds.ours = Math.min(seconds.ours, took);
        const greedy = await timed(() => captioners[i].caption([pixels], { decoding: GREEDY }));
        seconds.reference = Math.min(seconds.reference, greedy);
      }
      const note = `reference: our greedy caption of ${stages.length === 1 ? 'the stage' : 'both stages'}`;
      const tokens = texts.map(({ length }) => length).join(' and ');
      results.push({
        ...row,
        unit: 's',
        ...seconds,
        ratio: seconds.reference / seconds.ours,
        bound: null,
        note: `${note}, ${tokens} tokens`,
      });
    }
    return results;
  } finally {
    for (const each of open) await each.close();
    await rm(cacheDir, { recursive: true, force: true });
  }
}

async function timed(work) {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

/**
 * In MB: the peak so far, and what is resident now. Pages of a file that several sessions map are counted for each.
 */
async function memory() {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const megabytes = field =>
    Math.round((1024 * Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0)) / 1e6);
  const resident = megabytes('VmHWM') || Math.round((1024 * process.resourceUsage().maxRSS) / 1e6);
  const ours = { resident, anonymous: megabytes('RssAnon'), mapped: megabytes('RssFile') };
  return { peakRssMB: resident, memory: { ours, reference: null } };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      pair: {
        type: 'string',
        default: join(dirname(IMAGE), '..', '..', '..', '..', 'models', 'demo', 'release'),
      },
      threads: { type: 'string', default: String(availableParallelism()) },
      repeats: { type: 'string', default: '3' },
      json: { type: 'boolean', default: false },
    },
  });
  const rows = await explainRows({
    release: values.pair,
    threads: Number(values.threads),
    repeats: Number(values.repeats),
  });
  if (values.json) console.log(JSON.stringify(rows));
  else
    console.table(
      rows.map(({ name, ours, reference, ratio, peakRssMB }) => ({
        name,
        ours,
        reference,
        ratio,
        peakRssMB,
      })),
    );
}
