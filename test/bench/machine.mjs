/**
 * What this machine can do at most, measured through onnxruntime: `node machine.mjs --threads N` prints one JSON object.
 *
 * - `bandwidth`, bytes/s: the largest of each row of 1 GiB of fp32, every thread reading rows of its own.
 * - `fp32`, multiply-adds/s: a product of two matrices of 2,048 × 2,048.
 * - `int8`, the same in 8-bit integers (MatMulIntegerToFloat), of the kinds that give the exact sum on this processor:
 *   without VNNI instructions u8 × s8 saturates at 16 bits.
 *
 * The best of several runs, since other work can only slow one down.
 */
import { parseArgs } from 'node:util';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { Graph } from '../../models/lib/graph/builder.js';

const { values } = parseArgs({ options: { threads: { type: 'string', default: '2' } } });
const RUNS = 8;
const SIZE = 2048;
/** TensorProto.DataType */
const [UINT8, INT8] = [2, 3];

async function open(graph) {
  return InferenceSession.create(graph.encode(), {
    intraOpNumThreads: Number(values.threads),
    logSeverityLevel: 3,
  });
}

/** Shortest of several runs in seconds; the first, which prepares buffers, is left out. */
async function shortest(session, feeds) {
  let best = Infinity;
  for (let run = 0; run <= RUNS; run++) {
    const started = performance.now();
    await session.run(feeds);
    if (run > 0) best = Math.min(best, (performance.now() - started) / 1000);
  }
  await session.release();
  return best;
}

async function bandwidth() {
  const [rows, width] = [1024, 256 * 1024];
  const g = new Graph('read');
  const x = g.input('x', 'float', [rows, width]);
  g.output(g.reduce('Max', x, 1), 'float', [rows], 'y');
  const feeds = { x: new Tensor('float32', new Float32Array(rows * width).fill(1), [rows, width]) };
  return (4 * rows * width) / (await shortest(await open(g), feeds));
}

async function fp32() {
  const g = new Graph('multiply');
  const a = g.input('a', 'float', [SIZE, SIZE]);
  const b = g.filled(g.ints([SIZE, SIZE]), 0.5, 'float'); // folded into a constant, hence packed once
  g.output(g.matmul(a, b), 'float', [SIZE, SIZE], 'y');
  const feeds = { a: new Tensor('float32', new Float32Array(SIZE ** 2).fill(0.5), [SIZE, SIZE]) };
  return SIZE ** 3 / (await shortest(await open(g), feeds));
}

/** [rows, K] of u8 times a constant [K, columns] of u8 or s8, every element the largest of its type. */
function integerProduct(type, columns) {
  const g = new Graph('multiply');
  const filled = (shape, dataType, value) =>
    g.op('ConstantOfShape', [shape], {
      value: { t: { dims: [1], dataType, rawData: Uint8Array.of(value) } },
    });
  const a = filled(g.input('shape', 'int64', [2]), UINT8, 255);
  const b = filled(g.ints([SIZE, columns]), type, type === UINT8 ? 255 : 127);
  const y = g.microsoft('MatMulIntegerToFloat', [a, b, g.float(1), g.floats([1])]);
  g.output(y, 'float', [null, columns], 'y');
  return open(g);
}

const shape = rows => ({ shape: new Tensor('int64', BigInt64Array.of(BigInt(rows), BigInt(SIZE)), [2]) });

async function isExact(type) {
  const session = await integerProduct(type, 32);
  const { y } = await session.run(shape(4));
  await session.release();
  const expected = Math.fround(SIZE * 255 * (type === UINT8 ? 255 : 127));
  return y.data.every(value => value === expected);
}

async function int8() {
  const kinds = [];
  for (const type of [UINT8, INT8]) if (await isExact(type)) kinds.push(type);
  const times = [];
  for (const type of kinds) times.push(await shortest(await integerProduct(type, SIZE), shape(SIZE)));
  return {
    rate: SIZE ** 3 / Math.min(...times),
    exact: kinds.map(type => (type === UINT8 ? 'u8 × u8' : 'u8 × s8')),
  };
}

const integer = await int8();
console.log(
  JSON.stringify({
    bandwidth: await bandwidth(),
    fp32: await fp32(),
    int8: integer.rate,
    int8Exact: integer.exact,
  }),
);
