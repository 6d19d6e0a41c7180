import { printable } from './refusal.js';
import type { TensorView } from './tensor.js';

/** A Python complex number. */
export interface PickleComplex {
  readonly real: number;
  readonly imaginary: number;
}

/**
 * What a pickle can hold: dict, OrderedDict and Counter as Map; list, tuple and torch.Size as array; set as Set;
 * int as number, or bigint where a number would be inexact; bytes as Uint8Array; dtype, layout and device as text
 * (`torch.float32`, `cuda:0`); tensors, parameters and storages as views.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleComplex
  | TensorView
  | PickleValue[]
  | Set<PickleValue>
  | Map<PickleValue, PickleValue>;

/** A global the reader knows: one of our own functions under a Python name. */
export class PickleFunction {
  constructor(
    readonly name: string,
    readonly call: (args: readonly Operand[]) => Operand,
  ) {}
}

/** What lies on the machine's stack. */
export type Operand = PickleValue | PickleFunction;

/** What a value is, for messages. */
export function kindOf(value: Operand): string {
  if (value instanceof PickleFunction) return value.name;
  if (value === null) return 'None';
  if (Array.isArray(value)) return 'a list or tuple';
  if (value instanceof Map) return 'a dict';
  if (value instanceof Set) return 'a set';
  if (value instanceof Uint8Array) return 'bytes';
  if (typeof value === 'string') return `the text "${printable(value, 40)}"`;
  if (typeof value === 'object') return 'dtype' in value ? 'a tensor' : 'a complex number';
  return `the value ${value}`;
}
