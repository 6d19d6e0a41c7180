/**
 * Entry of a short-lived process that tries a provider: `node probe.js <webgpu|cuda> <device>` prints a
 * {@link ProbeResult}. It multiplies a few rows by large matrices, as decoding does, compares the result with the
 * CPU's, and times both.
 */
import { Tensor } from 'onnxruntime-node';
import { Graph } from '../graph/builder.js';
import { createSession } from './session.js';
import type { Provider } from './providers.js';
import { defaultThreads } from './threads.js';

/** How many times as fast as the CPU, or why it cannot be used. */
export type ProbeResult = { speedup: number } | { failure: string };

/** Rows of one image's beams in both stages; width of GPT-2 medium. */
const ROWS = 8;
const WIDTH = 1024;
/** Products one after the other, each with a matrix of its own, so that none is served from a cache. */
const PRODUCTS = 16;
const REPEATS = 3;
const TOLERANCE = 1e-3;

async function main(name: 'webgpu' | 'cuda', device: number): Promise<ProbeResult> {
  const cpu = await measure({ name: 'cpu', reason: '' });
  let other;
  try {
    other = await measure({ name, reason: '', device });
  } catch (error) {
    return {
      failure: firstSentence((error as { cause?: Error }).cause?.message ?? (error as Error).message),
    };
  }
  const largest = cpu.result.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const isRight = other.result.every((value, i) => Math.abs(value - cpu.result[i]!) <= TOLERANCE * largest);
  if (!isRight) return { failure: 'its driver computes a matrix product wrong' };
  return { speedup: cpu.seconds / other.seconds };
}

async function measure(provider: Provider): Promise<{ seconds: number; result: Float32Array }> {
  const session = await createSession(chain(), provider, defaultThreads());
  try {
    const values = Float32Array.from({ length: ROWS * WIDTH }, (_, i) => Math.sin(i));
    const feeds = { x: new Tensor('float32', values, [ROWS, WIDTH]) };
    let result = new Float32Array();
    let seconds = Infinity;
    // The first run compiles.
    for (let i = 0; i <= REPEATS; i++) {
      const start = performance.now();
      result = (await session.run(feeds))['y']!.data as Float32Array<ArrayBuffer>;
      if (i > 0) seconds = Math.min(seconds, (performance.now() - start) / 1000);
    }
    return { seconds, result };
  } finally {
    await session.release();
  }
}

/** x @ W₁ @ W₂ … with seeded matrices of magnitude 1/√width, so that rows keep their size. */
function chain(): Graph {
  const g = new Graph('probe');
  let y = g.input('x', 'float', [ROWS, WIDTH]);
  let state = 1;
  for (let i = 0; i < PRODUCTS; i++) {
    const matrix = new Float32Array(WIDTH * WIDTH);
    for (let j = 0; j < matrix.length; j++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      matrix[j] = (2 * (state / 2 ** 32) - 1) * Math.sqrt(3 / WIDTH);
    }
    y = g.matmul(y, g.floats(matrix, [WIDTH, WIDTH]));
  }
  g.output(y, 'float', [ROWS, WIDTH], 'y');
  return g;
}

/** onnxruntime puts a condition of its source in front of what it says, and a stack behind it. */
function firstSentence(message: string): string {
  return message.split('\n')[0]!.replace(/^.*\bwas false\. /, '');
}

const [name, device] = process.argv.slice(2);
process.stdout.write(JSON.stringify(await main(name === 'cuda' ? 'cuda' : 'webgpu', Number(device))));
