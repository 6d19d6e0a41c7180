import { DTYPE_SIZE } from './tensor.js';
import type { DType, TensorView } from './tensor.js';
import { MAX_DIMENSIONS, MAX_EXPANDED_ELEMENTS, MAX_TENSORS } from './limits.js';
import { Refusal, printable } from './refusal.js';

type Placeable = { -readonly [Key in keyof TensorView]: TensorView[Key] };

/** A storage as a pickle names it: a run of bytes, of which it is known later where in the file it lies. */
interface StorageRange {
  readonly key: string;
  /** Bytes between the storage's begin and this range's (not 0 only for the legacy format's storage views). */
  readonly begin: number;
  readonly byteLength: number;
}

export interface StorageDeclaration {
  readonly key: string;
  readonly dtype: DType;
  readonly elements: number;
  /** The legacy format's view into a storage, in elements. */
  readonly view?: { readonly offset: number; readonly elements: number };
}

/**
 * The storages and tensors that a pickle declares. Views are made while the pickle is read, checked against their
 * storage, and {@link place}d once it is known where the storages lie.
 */
export class StorageTable {
  private readonly ranges = new WeakMap<TensorView, StorageRange>();
  private readonly views: Placeable[] = [];
  private readonly byKey = new Map<string, StorageDeclaration>();

  /** @param file the views' file: a real path */
  constructor(private readonly file: string) {}

  /** Storages declared so far, by key; the largest where a key was declared more than once. */
  get declared(): ReadonlyMap<string, StorageDeclaration> {
    return this.byKey;
  }

  /**
   * A storage as a one-dimensional tensor over all of it.
   * @throws Refusal when its numbers make no sense
   */
  declare(storage: StorageDeclaration): TensorView {
    const { key, dtype, elements, view } = storage;
    const size = DTYPE_SIZE[dtype];
    const shown = printable(key);
    if (!isCount(elements) || !Number.isSafeInteger(elements * size))
      throw new Refusal('checkpoint-damaged', `storage ${shown} has an impossible length (${elements}).`);
    if (view && !(isCount(view.offset) && isCount(view.elements) && view.offset + view.elements <= elements))
      throw new Refusal('checkpoint-damaged', `a view of storage ${shown} leaves the storage.`);
    const known = this.byKey.get(key);
    if (!known || DTYPE_SIZE[known.dtype] * known.elements < size * elements) this.byKey.set(key, storage);
    const length = view?.elements ?? elements;
    const begin = (view?.offset ?? 0) * size;
    const whole = this.add({ key, begin, byteLength: length * size }, begin, dtype, [length], [1]);
    this.ranges.set(whole, { key, begin, byteLength: length * size });
    return whole;
  }

  /** Whether this value was made by {@link declare}. */
  isStorage(value: unknown): value is TensorView {
    return typeof value === 'object' && value !== null && this.ranges.has(value as TensorView);
  }

  /**
   * A tensor over a storage; everything in elements.
   * @throws Refusal when it would reach outside its storage
   */
  tensor(
    storage: TensorView,
    dtype: DType,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ): TensorView {
    const range = this.ranges.get(storage)!;
    const what = `a tensor of shape [${shape.slice(0, 8).join(', ')}] in storage ${printable(range.key)}`;
    if (shape.length > MAX_DIMENSIONS)
      throw new Refusal(
        'checkpoint-limit',
        `a tensor has ${shape.length} axes; at most ${MAX_DIMENSIONS} are read.`,
      );
    if (shape.length !== strides.length || !isCount(offset) || ![...shape, ...strides].every(isCount))
      throw new Refusal('checkpoint-damaged', `${what} has an impossible shape, stride or offset.`);
    const size = DTYPE_SIZE[dtype];
    // A product of two safe integers that is not exact is beyond the safe integers itself, so the checks below hold.
    const count = shape.reduce((product, n) => product * n, 1);
    if (!Number.isFinite(count)) throw new Refusal('checkpoint-damaged', `${what} has an impossible shape.`);
    const empty = count === 0;
    const last = empty ? offset - 1 : shape.reduce((at, n, axis) => at + (n - 1) * strides[axis]!, offset);
    const neededBytes = (last + 1) * size;
    if (!Number.isSafeInteger(neededBytes) || neededBytes > range.byteLength)
      throw new Refusal(
        'checkpoint-damaged',
        `${what} reaches outside its storage (${neededBytes} of ${range.byteLength} bytes).`,
      );
    if (count > Math.max(range.byteLength / size, MAX_EXPANDED_ELEMENTS))
      throw new Refusal('checkpoint-limit', `${what} repeats its values to ${count} elements.`);
    return this.add(range, range.begin + offset * size, dtype, [...shape], [...strides]);
  }

  /** Says where the storages begin in the file; every declared key must have its place. */
  place(offsets: ReadonlyMap<string, number>): void {
    for (const view of this.views) view.offset += offsets.get(view.storage)!;
  }

  private add(
    { key }: StorageRange,
    offset: number,
    dtype: DType,
    shape: readonly number[],
    strides: readonly number[],
  ): TensorView {
    // Each tensor declares its storage anew, so a file of n tensors makes 2n views.
    if (this.views.length >= 2 * MAX_TENSORS)
      throw new Refusal('checkpoint-limit', `it holds more than ${MAX_TENSORS} tensors.`);
    const view: Placeable = { file: this.file, offset, dtype, shape, strides, storage: key };
    this.views.push(view);
    return view;
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
