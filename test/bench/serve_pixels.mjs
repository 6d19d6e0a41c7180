/**
 * DermCap's preprocessing as a long-lived process, asked by lines of JSON on stdin, as pillow.py is:
 *
 *     {"do": "open", "threads": 1, "input": {"size", "mean", "std"}}
 *     {"do": "pixels", "path", "mode"}
 *     {"do": "decode", "path"}
 *
 * Times are in milliseconds: by the clock, and of all the process's threads on a processor.
 */
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { decodeImage, loadPixels } from '@dermcap/models';
import sharp from 'sharp';

let input;

async function timed(work) {
  const before = process.cpuUsage();
  const started = performance.now();
  const result = await work();
  const wallMs = performance.now() - started;
  const { user, system } = process.cpuUsage(before);
  return [result, { wallMs, cpuMs: (user + system) / 1000 }];
}

const methods = {
  open(request) {
    sharp.concurrency(request.threads);
    sharp.cache(false);
    ({ input } = request);
    return {};
  },

  async pixels({ path, mode }) {
    const [pixels, times] = await timed(() => loadPixels(path, mode, input));
    return { ...times, sha256: createHash('sha256').update(pixels).digest('hex') };
  },

  async decode({ path }) {
    const [, times] = await timed(() => decodeImage(path));
    return times;
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
