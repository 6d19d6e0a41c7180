import type { TensorView } from '../checkpoint/tensor.js';
import { DermcapError } from '../errors.js';
import { listed } from './stateDict.js';
import type { StateDict } from './stateDict.js';

/** What became of every entry of a state dict. */
export interface KeyAccount {
  used: string[];
  ignored: { key: string; reason: string }[];
}

/**
 * Accounts for every key of a state dict: each is used, ignored for a stated reason, or an error.
 * Problems are collected, so that one message names them all.
 */
export class KeyLedger {
  private readonly used = new Set<string>();
  private readonly ignored = new Map<string, string>();
  private readonly missing: string[] = [];
  private readonly misshapen: string[] = [];

  private readonly file: string;
  /** All of them, used or not. */
  readonly tensors: ReadonlyMap<string, TensorView>;

  constructor(private readonly dict: StateDict) {
    this.file = dict.file;
    this.tensors = dict.tensors;
  }

  has(key: string): boolean {
    return this.tensors.has(key);
  }

  startingWith(beginning: string): string[] {
    return [...this.tensors.keys()].filter(key => key.startsWith(beginning));
  }

  /** Looks without using. */
  peek(key: string): TensorView | undefined {
    return this.tensors.get(key);
  }

  /**
   * Uses a tensor of a known shape (null = any size along that axis). A missing or misshapen one is noted and
   * stands in as an empty view until {@link close} throws.
   */
  take(key: string, shape: readonly (number | null)[]): TensorView {
    const view = this.tensors.get(key);
    if (!view) {
      this.missing.push(key);
      return {
        file: this.file,
        offset: 0,
        dtype: 'float32',
        shape: shape.map(n => n ?? 0),
        strides: [],
        storage: '',
      };
    }
    this.used.add(key);
    const fits =
      view.shape.length === shape.length && shape.every((n, i) => n === null || n === view.shape[i]);
    if (!fits)
      this.misshapen.push(
        `${key} is [${view.shape.join(', ')}], expected [${shape.map(n => n ?? '?').join(', ')}]`,
      );
    return view;
  }

  /** Leaves out every key the pattern matches, and keeps the reason. */
  ignore(pattern: RegExp, reason: string): void {
    for (const key of this.tensors.keys())
      if (!this.used.has(key) && pattern.test(key)) this.ignored.set(key, reason);
  }

  /** @throws DermcapError `keys-mismatch` naming what is missing, unexpected or of the wrong shape */
  close(model: string): void {
    const unexpected = [...this.tensors.keys()].filter(key => !this.used.has(key) && !this.ignored.has(key));
    const problems = [
      this.missing.length ? `missing: ${listed(this.missing)}` : '',
      unexpected.length ? `unexpected: ${listed(unexpected)}` : '',
      this.misshapen.length ? `wrong shape: ${listed(this.misshapen)}` : '',
    ].filter(Boolean);
    if (problems.length)
      throw new DermcapError('keys-mismatch', `${this.file} is not ${model}: ${problems.join('; ')}.`, {
        hint: 'Nothing is dropped in silence: every tensor of a checkpoint must have a place in the model.',
      });
  }

  account(): KeyAccount {
    return {
      used: [...this.used],
      ignored: [
        ...[...this.ignored].map(([key, reason]) => ({ key, reason })),
        ...this.dict.others.map(key => ({ key, reason: 'not a tensor' })),
      ],
    };
  }
}
