import { Tensor } from 'onnxruntime-node';
import { Graph } from '../graph/builder.js';
import { createSession } from './session.js';
import type { Int8Type } from './quantise.js';

let known: Promise<Int8Type> | undefined;

/**
 * Which int8 weights this processor multiplies exactly, found by trying. Without VNNI instructions, products of
 * unsigned activations with signed weights are added up in 16 bits and saturate; unsigned weights are exact
 * everywhere, but half as fast where there is VNNI.
 */
export function exactInt8Type(): Promise<Int8Type> {
  return (known ??= isSignedExact().then(isExact => (isExact ? 'int8' : 'uint8')));
}

/** Multiplies the largest values there are, which saturate first. */
async function isSignedExact(): Promise<boolean> {
  const [rows, inner, columns, largest] = [5, 64, 48, 127];
  const g = new Graph('saturation');
  const x = g.input('x', 'uint8', [rows, inner]);
  const w = g.input('w', 'int8', [inner, columns]);
  g.output(g.op('MatMulInteger', [x, w]), 'int32', [rows, columns], 'y');
  const session = await createSession(g, { name: 'cpu', reason: '' }, 1);
  try {
    const { y } = await session.run({
      x: new Tensor('uint8', new Uint8Array(rows * inner).fill(255), [rows, inner]),
      w: new Tensor('int8', new Int8Array(inner * columns).fill(largest), [inner, columns]),
    });
    return (y!.data as Int32Array).every(value => value === 255 * largest * inner);
  } finally {
    await session.release();
  }
}
