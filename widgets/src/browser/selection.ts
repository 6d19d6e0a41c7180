import { Signal, type ISignal } from '@lumino/signaling';
import { IndexSet } from './indexset.js';

/** How a click or a key changes the selection. */
export type SelectHow = 'only' | 'toggle' | 'range' | 'keep';

/**
 * Which images are chosen and which one has the focus, by position in the list on screen. Follows the habits of
 * file managers: a plain choice moves the anchor, a range runs from the anchor to the focus.
 */
export class Selection {
  private readonly _changed = new Signal<this, void>(this);
  private _chosen = IndexSet.empty;
  private _active = 0;
  private anchor = 0;
  /** What was chosen before the current range began, so that the range can shrink again. */
  private base = IndexSet.empty;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get chosen(): IndexSet {
    return this._chosen;
  }

  /** Position with the focus. */
  get active(): number {
    return this._active;
  }

  /** Moves the focus to `index` and changes the choice as asked. */
  choose(index: number, how: SelectHow): void {
    if (how === 'only') this.settle(IndexSet.between(index, index), index);
    else if (how === 'toggle') this.settle(this._chosen.toggle(index), index);
    else if (how === 'range') this._chosen = this.base.union(IndexSet.between(this.anchor, index));
    else this.anchor = index;
    this._active = index;
    if (how === 'keep') this.base = this._chosen;
    this._changed.emit();
  }

  /** The focus came to `index` by other means; neither choice nor anchor change. */
  focus(index: number): void {
    if (index === this._active) return;
    this._active = index;
    this._changed.emit();
  }

  /** Moves the focus by `delta` positions inside a list of `total`; the choice stays, or a range grows. */
  move(delta: number, total: number, how: 'keep' | 'range'): void {
    if (total === 0) return;
    this.choose(Math.max(0, Math.min(total - 1, this._active + delta)), how);
  }

  all(total: number): void {
    this.settle(IndexSet.all(total), this._active);
    this._changed.emit();
  }

  none(): void {
    this.settle(IndexSet.empty, this._active);
    this._changed.emit();
  }

  /** Forgets everything: another list is on screen. */
  reset(active = 0): void {
    this._active = active;
    this.settle(IndexSet.empty, active);
    this._changed.emit();
  }

  private settle(chosen: IndexSet, anchor: number): void {
    this._chosen = chosen;
    this.base = chosen;
    this.anchor = anchor;
  }
}
