// npm run bench:study: a study of many images: import, memory, pages, search, sorting, thumbnails. Figures, never
// tests. Options: --rows 100000, --data FOLDER to keep the generated dataset.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { rows: { type: 'string', default: '100000' }, data: { type: 'string' } },
});
const lib = path => new URL(`../../kernel-server/lib/${path}`, import.meta.url);
const SAMPLE_MS = 50;
const REPEATS = 7;

const base = await mkdtemp(join(tmpdir(), 'dermcap-bench-study-'));
const data = values.data ?? join(base, 'data');
const file = join(base, 'bench.dermcap');
try {
  if (!existsSync(join(data, 'metadata.csv'))) {
    await measured([
      fileURLToPath(new URL('make-dataset.mjs', import.meta.url)),
      data,
      '--rows',
      values.rows,
    ]);
  }
  await measured([fileURLToPath(lib('cli.js')), 'study', 'create', file]);
  for (const label of ['import', 'import again']) {
    const { seconds, peakMB } = await measured([
      fileURLToPath(lib('cli.js')),
      'study',
      'import',
      join(data, 'metadata.csv'),
      file,
    ]);
    report(label, `${seconds.toFixed(1)} s, peak memory ${peakMB} MB`);
  }
  await queries();
} finally {
  await rm(base, { recursive: true, force: true });
}

/** Runs a program to its end and watches the memory of its process, threads included. */
async function measured(args) {
  const start = performance.now();
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  let peakKB = 0;
  const watch = setInterval(async () => {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
    peakKB = Math.max(peakKB, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
  }, SAMPLE_MS);
  const code = await new Promise(resolve => child.on('exit', resolve));
  clearInterval(watch);
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}.`);
  return { seconds: (performance.now() - start) / 1000, peakMB: Math.round(peakKB / 1024) };
}

async function queries() {
  const { openStudy } = await import(lib('study/open.js'));
  const { imagePage, facets } = await import(lib('study/images.js'));
  const { Columns } = await import(lib('study/columns.js'));
  const { StudyImageSearch, FacetRequest } = await import(lib('contract/index.js'));
  const { Pictures } = await import(lib('datasets/pictures.js'));
  const study = await openStudy(file);
  const asker = { username: 'bench' };
  const page = query => imagePage(study.db, StudyImageSearch.parse(query), asker);
  const dx = { column: 'meta.dx', in: ['mel', 'bcc'] };
  const age = { column: 'meta.age', min: 40, max: 60 };
  const rare = { column: 'meta.image_id', in: ['BENCH_0077777'] };
  for (const [label, query] of [
    ['page of 200', {}],
    ['… of one diagnosis of 7', { filter: { where: [{ column: 'meta.dx', in: ['mel'] }] } }],
    ['… of three conditions', { filter: { where: [dx, age, { column: 'meta.sex', in: ['male'] }] } }],
    ['… of one image', { filter: { where: [rare] } }],
    ['… in the middle, sorted by age', { sort: 'meta.age', offset: Math.floor(Number(values.rows) / 2) }],
    ['search, one word in every 10th', { filter: { text: 'papule' } }],
    ['search, two words and a condition', { filter: { text: 'papule scalp', where: [dx] } }],
    ['search, a word in every image', { filter: { text: 'consistent' } }],
  ]) {
    report(label, await timed(() => page(query)));
  }
  const sorts = [];
  for (const { name } of (await Columns.load(study.db)).list()) {
    sorts.push({ name, ms: await median(() => page({ sort: name, order: 'descending' })) });
  }
  const slowest = sorts.sort((a, b) => b.ms - a.ms)[0];
  report(`sort by any of ${sorts.length} columns`, `slowest ${slowest.ms.toFixed(1)} ms (${slowest.name})`);
  const request = FacetRequest.parse({
    columns: ['meta.dx', 'meta.sex', 'meta.localization', 'split', 'state'],
  });
  report('5 facets', await timed(() => facets(study.db, request, asker)));
  const { images } = await page({ limit: 40 });
  const pictures = new Pictures(join(base, 'cache'));
  const start = performance.now();
  await Promise.all(images.map(image => pictures.thumbnail(join(study.folder, image.path), 256)));
  report('first 40 thumbnails, cold', `${(performance.now() - start).toFixed(0)} ms`);
  await study.close();
}

async function median(work) {
  const times = [];
  for (let n = 0; n < REPEATS; n++) {
    const start = performance.now();
    await work();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[REPEATS >> 1];
}

async function timed(work) {
  return `${(await median(work)).toFixed(1)} ms`;
}

function report(label, figure) {
  console.log(`${label.padEnd(36)} ${figure}`);
}
