import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { Tensor } from 'onnxruntime-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Graph } from '../graph/builder.js';
import { linear } from '../graph/linear.js';
import { CacheUse } from './cacheUse.js';
import { exactInt8Type } from './int8.js';
import { int8Matrix, quantise } from './quantise.js';
import type { Int8Type, Layout } from './quantise.js';
import { createSession } from './session.js';

const TYPES: Int8Type[] = ['int8', 'uint8'];
const LAYOUTS: Layout[] = ['in-out', 'out-in'];

/** Values [in][out] as they are multiplied, and scales. */
function quantised(matrix: Float32Array, inputs: number, outputs: number, layout: Layout, type: Int8Type) {
  const scalesAt = Math.ceil((inputs * outputs) / 4) * 4;
  const bytes = new Uint8Array(scalesAt + 4 * outputs);
  quantise(matrix, [inputs, outputs], layout, type, bytes, scalesAt);
  const stored = type === 'int8' ? new Int8Array(bytes.buffer, 0, inputs * outputs) : bytes;
  return {
    value: (i: number, o: number) => stored[i * outputs + o]! - (type === 'int8' ? 0 : 128),
    scales: new Float32Array(bytes.buffer, scalesAt, outputs),
  };
}

describe('an int8 twin', () => {
  it('is within half a step of its matrix, whichever way round it lies', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 70 }),
        fc.integer({ min: 1, max: 130 }),
        fc.constantFrom(...LAYOUTS),
        fc.constantFrom(...TYPES),
        fc.float({ min: Math.fround(1e-6), max: 1000, noNaN: true }),
        (inputs, outputs, layout, type, size) => {
          const matrix = Float32Array.from(
            { length: inputs * outputs },
            (_, i) => size * Math.sin(i * i + 1),
          );
          const { value, scales } = quantised(matrix, inputs, outputs, layout, type);
          for (let o = 0; o < outputs; o++) {
            let largest = 0;
            for (let i = 0; i < inputs; i++) {
              const original = matrix[layout === 'in-out' ? i * outputs + o : o * inputs + i]!;
              expect(Math.abs(value(i, o) * scales[o]! - original)).toBeLessThanOrEqual(scales[o]! * 0.5001);
              largest = Math.max(largest, Math.abs(value(i, o)));
            }
            expect(largest).toBe(127);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it('of a channel of zeros is zero', () => {
    const { value, scales } = quantised(Float32Array.of(0, 1, 0, -2), 2, 2, 'in-out', 'int8');
    expect([value(0, 0), value(1, 0), value(0, 1), value(1, 1)]).toEqual([0, 0, 64, -127]);
    expect(scales[0]).toBe(0);
  });
});

describe('an int8 product', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dermcap-int8-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const [inputs, outputs] = [67, 33];
  const weights = Float32Array.from({ length: inputs * outputs }, (_, i) => Math.sin(i * i));

  async function product(x: Float32Array): Promise<Float32Array> {
    const file = join(folder, 'w');
    await writeFile(file, new Uint8Array(weights.buffer));
    const view = {
      file,
      offset: 0,
      dtype: 'float32',
      shape: [outputs, inputs],
      strides: [inputs, 1],
      storage: '',
    } as const;
    const type = await exactInt8Type();
    const cache = new CacheUse(join(folder, 'cache'));
    const g = new Graph('product');
    const input = g.input('x', 'float', [null, inputs]);
    const twin = await int8Matrix({ kind: 'stored', view }, 'out-in', type, cache);
    g.output(linear(g, input, twin), 'float', [null, outputs], 'y');
    const session = await createSession(g, { name: 'cpu', reason: '' }, 1);
    try {
      const { y } = await session.run({ x: new Tensor('float32', x, [x.length / inputs, inputs]) });
      return y!.data as Float32Array;
    } finally {
      await session.release();
    }
  }

  it('is what integers give, to the rounding of fp32', async () => {
    const x = Float32Array.from({ length: inputs }, (_, i) => 5 * Math.cos(3 * i));
    const y = await product(x);
    const { value, scales } = quantised(weights, inputs, outputs, 'out-in', 'int8');
    const largest = x.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    for (let o = 0; o < outputs; o++) {
      let sum = 0;
      for (let i = 0; i < inputs; i++) sum += Math.round((x[i]! / largest) * 127) * value(i, o);
      expect(y[o]).toBeCloseTo((sum * scales[o]! * largest) / 127, 3);
    }
  });

  it('gives a row the same bits alone and beside others, and a row of zeros zeros', async () => {
    const row = (r: number) => Float32Array.from({ length: inputs }, (_, i) => r * r * Math.sin(i + r));
    const batch = new Float32Array(9 * inputs);
    for (let r = 0; r < 9; r++) batch.set(row(r), r * inputs);
    const together = await product(batch);
    for (const r of [0, 1, 5, 8])
      expect(together.slice(r * outputs, (r + 1) * outputs)).toEqual(await product(row(r)));
    expect(together.slice(0, outputs)).toEqual(new Float32Array(outputs));
  });

  it('is made once for a matrix, and again when the cache was cleared in parts', async () => {
    await product(new Float32Array(inputs));
    const files = () => readdir(join(folder, 'cache', 'int8'));
    const made = await files();
    expect(made).toHaveLength(1);
    await rm(join(folder, 'cache', 'int8'), { recursive: true });
    await product(new Float32Array(inputs));
    expect(await files()).toEqual(made);
  });
});
