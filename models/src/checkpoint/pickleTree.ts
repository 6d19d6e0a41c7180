import { MAX_EXPANDED_VALUES, MAX_NESTING, TEXT_PER_VALUE } from './limits.js';
import { kindOf, PickleFunction } from './values.js';
import type { Operand, PickleValue } from './values.js';
import { Refusal } from './refusal.js';

interface Extent {
  /** Values when everything shared is written out; a long text counts as more than one. */
  readonly size: number;
  /** Containers inside each other. */
  readonly height: number;
}

const LEAF: Extent = { size: 1, height: 0 };

/**
 * Makes sure that whoever walks the value comes to an end: no cycle, no endless nesting, no exponential sharing;
 * that no function
 * stands among the data, and that dicts have plain keys.
 * @throws Refusal `checkpoint-refused` | `checkpoint-limit`
 */
export function checkTree(value: Operand): void {
  measure(value, 0, new Map());
}

/** @param seen extents of containers, null while they are being measured */
function measure(value: Operand, depth: number, seen: Map<object, Extent | null>): Extent {
  if (value instanceof PickleFunction)
    throw new Refusal('checkpoint-refused', `${value.name} stands among the data, where a value should be.`);
  if (typeof value === 'string' || value instanceof Uint8Array)
    return { size: 1 + value.length / TEXT_PER_VALUE, height: 0 };
  if (!(Array.isArray(value) || value instanceof Map || value instanceof Set)) return LEAF;

  const known = seen.get(value);
  if (known === null) throw new Refusal('checkpoint-refused', 'a list or dict contains itself.');
  if (depth + (known?.height ?? 1) > MAX_NESTING)
    throw new Refusal('checkpoint-limit', `lists and dicts lie more than ${MAX_NESTING} levels deep.`);
  if (known) return known;

  seen.set(value, null);
  let size = 1;
  let height = 0;
  for (const item of itemsOf(value)) {
    const extent = measure(item, depth + 1, seen);
    size += extent.size;
    height = Math.max(height, extent.height);
    if (size > MAX_EXPANDED_VALUES)
      throw new Refusal('checkpoint-limit', `it unfolds to more than ${MAX_EXPANDED_VALUES} values.`);
  }
  const extent = { size, height: height + 1 };
  seen.set(value, extent);
  return extent;
}

function* itemsOf(container: PickleValue[] | Set<PickleValue> | Map<PickleValue, PickleValue>) {
  if (!(container instanceof Map)) return yield* container;
  for (const [key, value] of container) {
    // Tuples are arrays here; what cannot be a key in Python either has no business to be one.
    if (typeof key === 'object' && key !== null && !Array.isArray(key) && !(key instanceof Uint8Array))
      throw new Refusal('checkpoint-refused', `${kindOf(key)} is the key of a dict.`);
    yield key;
    yield value;
  }
}
