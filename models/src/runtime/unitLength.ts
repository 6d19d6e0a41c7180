/** A vector divided by its L2 norm, as PyTorch's `F.normalize` does. */
export function unitLength(values: Float32Array): Float32Array {
  const norm = Math.max(Math.hypot(...values), 1e-12);
  return values.map(value => value / norm);
}
