/**
 * From what a checkpoint file holds to a flat map of tensors with plain names, beside the training
 * configuration stored with it.
 */
import type { Checkpoint } from '../checkpoint/open.js';
import type { PickleValue } from '../checkpoint/values.js';
import { isTensorView } from '../checkpoint/read.js';
import type { TensorView } from '../checkpoint/tensor.js';
import { DermcapError } from '../errors.js';

/** Keys under which trainers put a state dict, in the order they are tried. */
const WRAPPER_KEYS = [
  'model',
  'state_dict',
  'model_state_dict',
  'module',
  'model_ema',
  'ema',
  'net',
  'weights',
] as const;

/** Names that wrappers put in front of every key. */
const PREFIXES = ['module', '_orig_mod', 'model', 'captioner', 'net'] as const;

/** DataParallel and torch.compile may also wrap a part of the model, anywhere in a key. */
const INNER_WRAPPERS = new Set(['module', '_orig_mod']);

export type Dict = Map<unknown, PickleValue>;

export interface StateDict {
  readonly file: string;
  readonly tensors: ReadonlyMap<string, TensorView>;
  /** Entries of the state dict that are no tensors. */
  readonly others: readonly string[];
  /** Wrapper keys and prefixes that were taken off, for the report. */
  readonly unwrapped: readonly string[];
  /** What lies around the state dict (`cfg`, `meta`, …), of all levels. */
  readonly beside: Dict;
}

/** @throws DermcapError `not-a-state-dict` when no dict of tensors is found */
export function stateDict(checkpoint: Checkpoint): StateDict {
  const unwrapped: string[] = [];
  const file = checkpoint.path;
  if (!(checkpoint.root instanceof Map))
    throw new DermcapError('not-a-state-dict', `${file} holds no dict of tensors.`, {
      hint: 'Save the model with torch.save({"model": model.state_dict(), "cfg": …}).',
    });
  let dict = checkpoint.root as Dict;
  let beside = dict;
  for (;;) {
    // Before tensors: a trainer may put one (its best loss, say) beside the state dict.
    const key = WRAPPER_KEYS.find(name => dict.get(name) instanceof Map);
    if (key === undefined && holdsTensors(dict)) break;
    if (key === undefined)
      throw new DermcapError(
        'not-a-state-dict',
        `${file} holds no dict of tensors: its keys are ${listed([...dict.keys()].map(String))}.`,
        { hint: `Expected tensors, or a dict of them under one of: ${WRAPPER_KEYS.join(', ')}.` },
      );
    unwrapped.push(key);
    dict = dict.get(key) as Dict;
    // The configuration may lie at any of these levels: the outermost wins.
    beside = new Map([...dict, ...beside]);
  }
  const tensors = new Map<string, TensorView>();
  const others: string[] = [];
  for (const [key, value] of dict)
    if (isTensorView(value)) tensors.set(String(key), value);
    else others.push(String(key));
  return { file, beside, unwrapped, others, tensors: withoutWrappers(file, tensors, unwrapped) };
}

function holdsTensors(dict: Dict): boolean {
  for (const value of dict.values()) if (isTensorView(value)) return true;
  return false;
}

function withoutWrappers(
  file: string,
  tensors: Map<string, TensorView>,
  unwrapped: string[],
): Map<string, TensorView> {
  let names = new Map([...tensors.keys()].map(key => [key, key.split('.')]));
  for (;;) {
    const parts = [...names.values()];
    const prefix = PREFIXES.find(name => parts.every(([first]) => first === name));
    if (prefix === undefined) break;
    unwrapped.push(`${prefix}.`);
    names = new Map([...names].map(([key, [, ...rest]]) => [key, rest]));
  }
  const result = new Map<string, TensorView>();
  for (const [key, parts] of names) {
    const plain = withoutPeft(parts.filter(part => !INNER_WRAPPERS.has(part)).join('.'));
    if (result.has(plain))
      throw new DermcapError(
        'ambiguous-key',
        `${file}: two tensors are both called ${plain} once wrapper names are taken off.`,
      );
    result.set(plain, tensors.get(key)!);
  }
  return result;
}

/**
 * PEFT puts `base_model.model` before the names of what it wraps, and keeps a module that is trained whole, not by LoRA,
 * as `<name>.modules_to_save.<adapter>` beside its `<name>.original_module`.
 */
function withoutPeft(key: string): string {
  return key.replace(/(^|\.)base_model\.model\./, '$1').replace(/\.modules_to_save\.[^.]+\./, '.');
}

/** "a, b, c and 12 more" */
export function listed(names: readonly string[], most = 8): string {
  const shown = names.slice(0, most).join(', ');
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}
