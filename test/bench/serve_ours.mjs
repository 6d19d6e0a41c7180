/**
 * DermCap as a long-lived process, asked by lines of JSON on stdin, as `serve_reference.py` is:
 *
 *     {"do": "open", "release", "threads", "stages": ["a", "b"], "precision": "exact", "cacheDir", "images": [paths]}
 *     {"do": "caption", "images": 8, "beams": 4}
 *     {"do": "embed", "images": 8}
 *
 * Times are in seconds, without loading; that of "open" is from the call to a captioner that is ready.
 */
import { createInterface } from 'node:readline';
import { loadPixels, openCaptioner } from '@dermcap/models';

let captioner;
let pixels;

async function timed(work) {
  const started = performance.now();
  const result = await work();
  return [result, (performance.now() - started) / 1000];
}

const methods = {
  async open({ release, threads, stages, precision, cacheDir, images }) {
    const options = { releases: [{ dir: release, stages }], provider: 'cpu', threads, precision, cacheDir };
    const [opened, seconds] = await timed(() => openCaptioner(options));
    captioner = opened;
    if (opened.precision !== precision) throw new Error(`“${precision}” is not offered here.`);
    pixels = [];
    for (const image of images)
      pixels.push(await loadPixels(image, 'train-centre', captioner.inputs[0], { autoOrient: false }));
    return { seconds };
  },

  async caption({ images, beams }) {
    const decoding = { numBeams: beams };
    const [rows, seconds] = await timed(() => captioner.caption(pixels.slice(0, images), { decoding }));
    const tokens = {};
    for (const row of rows) for (const { stage, tokens: ids } of row) (tokens[stage] ??= []).push(ids);
    return { seconds, tokens };
  },

  async embed({ images }) {
    const [, seconds] = await timed(() => captioner.embed(pixels.slice(0, images)));
    return { seconds };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: method, ...request } = JSON.parse(line);
  let answer;
  try {
    answer = await methods[method](request);
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await captioner?.close();
