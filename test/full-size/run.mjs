/**
 * Captions the same images with the same pair through DermCap and compares with what `reference.py` wrote.
 *
 *     node run.mjs --release DIR --reference FILE IMAGE…
 *
 * Exit code 1 when a token differs.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadPixels, openCaptioner } from '@dermcap/models';

const { values, positionals: images } = parseArgs({
  allowPositionals: true,
  options: { release: { type: 'string' }, reference: { type: 'string' }, threads: { type: 'string' } },
});
const reference = JSON.parse(readFileSync(values.reference, 'utf8'));
const threads = Number(values.threads ?? reference.threads);
const stages = ['a', 'b'];

const cacheDir = await mkdtemp(join(tmpdir(), 'dermcap-full-size-'));
const seconds = async work => {
  const started = performance.now();
  const result = await work();
  return [result, (performance.now() - started) / 1000];
};

try {
  const [captioner, loading] = await seconds(() =>
    openCaptioner({ releases: [{ dir: values.release, stages }], provider: 'cpu', threads, cacheDir }),
  );
  const rows = [];
  let identical = true;
  let farthest = 0;
  for (const [i, image] of images.entries()) {
    const pixels = await loadPixels(image, 'train-centre', captioner.inputs[0], { autoOrient: false });
    const [embedding] = await captioner.embed([pixels]);
    reference.embeddings[i].forEach((value, d) => {
      farthest = Math.max(farthest, Math.abs(value - embedding[d]));
    });
    const [[captions], pair] = await seconds(() => captioner.caption([pixels]));
    const pairReference = stages.reduce((sum, stage) => sum + reference.captions[i][stage].seconds, 0);
    captions.forEach(({ stage, tokens, score }, s) => {
      const golden = reference.captions[i][stage];
      const at = golden.tokens.findIndex((token, n) => tokens[n] !== token);
      const same = at < 0 && tokens.length === golden.tokens.length;
      identical &&= same;
      rows.push({
        image: basename(image),
        stage: stage.toUpperCase(),
        tokens: golden.tokens.length,
        identical: same ? 'yes' : `no, from token ${at < 0 ? golden.tokens.length : at}`,
        'score Δ': Math.abs(score - golden.score).toExponential(1),
        'pair, ours (s)': s === 0 ? pair.toFixed(2) : '',
        'pair, reference (s)': s === 0 ? pairReference.toFixed(2) : '',
        ratio: s === 0 ? `${(pairReference / pair).toFixed(1)}×` : '',
      });
    });
  }
  await captioner.close();

  console.table(rows);
  console.table({
    ours: { 'load (s)': loading.toFixed(1), 'peak memory (MB)': megabytes(peakBytes()) },
    reference: {
      'load (s)': reference.loadSeconds.toFixed(1),
      'peak memory (MB)': megabytes(reference.peakBytes),
    },
  });
  const count = rows.filter(row => row.identical === 'yes').length;
  console.log(
    `full size: ${rows.length} captions, ${count} token-identical; embeddings max |Δ| ${farthest.toExponential(1)}; ` +
      `${threads} threads each; ${Object.entries(reference.madeWith).flat().join(' ')}`,
  );
  process.exitCode = identical && farthest < 1e-4 ? 0 : 1;
} finally {
  await rm(cacheDir, { recursive: true, force: true });
}

/** The process's peak of resident memory, mapped weights included (VmHWM on Linux). */
function peakBytes() {
  return process.resourceUsage().maxRSS * 1024;
}

function megabytes(bytes) {
  return Math.round(bytes / 1e6);
}
