/**
 * Every product with a weight matrix of a model, in the precision the matrix comes in.
 */
import type { Graph, Value } from './builder.js';
import type { Int8Matrix, Matrix } from './weights.js';

/** x @ W for GPT-2's Conv1D, W [in, out] as it lies in the file. x: [.., in] → [.., out] */
export function conv1d(g: Graph, x: Value, matrix: Matrix): Value {
  return 'precision' in matrix ? int8Product(g, x, matrix) : g.matmul(x, g.weight(matrix));
}

/** x @ Wᵀ for PyTorch's Linear, W [out, in] as it lies in the file. x: [.., in] → [.., out] */
export function linear(g: Graph, x: Value, matrix: Matrix): Value {
  return 'precision' in matrix ? int8Product(g, x, matrix) : g.matmulTransposed(x, g.weight(matrix));
}

/** Largest magnitude of a quantised activation. */
const INT8_MAX = 127;
const ZERO_POINT = { int8: 0, uint8: 128 } as const;
/** Keeps a row of zeros from being divided by zero. */
const TINY = 1e-20;

/**
 * x @ W in int8: each row of x is scaled by its own largest magnitude, so that a row's result does not depend on the
 * rows beside it. Activations are unsigned (onnxruntime's signed kernels are ten times slower).
 */
function int8Product(g: Graph, x: Value, { values, scales }: Int8Matrix): Value {
  const largest = g.op('ReduceMax', [g.op('Abs', [x]), g.ints([-1])], { keepdims: { i: 1 } }); // [.., 1]
  const rowScale = g.op('Max', [largest, g.float(TINY)]);
  const step = g.float(1 / INT8_MAX);
  const zero = g.byte(ZERO_POINT.uint8, 'uint8');
  const quantised = g.op('QuantizeLinear', [g.op('Div', [x, rowScale]), step, zero]); // [.., in]
  const type = values.type as 'int8' | 'uint8';
  const product = g.microsoft('MatMulIntegerToFloat', [
    quantised,
    g.weight(values),
    step,
    g.weight(scales),
    zero,
    g.byte(ZERO_POINT[type], type),
  ]);
  return g.mul(product, rowScale);
}
