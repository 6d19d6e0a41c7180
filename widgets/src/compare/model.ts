import type { ImageEntry } from '@dermcap/kernel-server/contract';
import { Signal, type ISignal } from '@lumino/signaling';
import type { FolderModel } from '../browser/model.js';

/**
 * Which image the compare pane shows. It shows the image with the focus and walks through the chosen images when
 * the focus is among several chosen ones, else through all.
 */
export class CompareModel {
  private readonly _changed = new Signal<this, void>(this);
  private _isOpen = false;

  constructor(readonly folder: FolderModel) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isOpen(): boolean {
    return this._isOpen;
  }

  get entry(): ImageEntry | undefined {
    return this.folder.images?.at(this.folder.selection.active);
  }

  /** How many images the pane walks through. */
  get count(): number {
    const { chosen } = this.folder.selection;
    return this.amongChosen ? chosen.size : (this.folder.images?.total ?? 0);
  }

  /** 0-based place of the image among them. */
  get position(): number {
    const { chosen, active } = this.folder.selection;
    return this.amongChosen ? chosen.rank(active) : active;
  }

  /** True when the walk is through the chosen images only. */
  get amongChosen(): boolean {
    const { chosen, active } = this.folder.selection;
    return chosen.size > 1 && chosen.has(active);
  }

  open(): void {
    const { selection, images } = this.folder;
    if (!images || images.total === 0) return;
    const first = selection.chosen.first;
    if (first !== undefined && !selection.chosen.has(selection.active)) selection.choose(first, 'keep');
    this.set(true);
  }

  close(): void {
    this.set(false);
  }

  /** Goes `delta` images on; stops at the ends. */
  step(delta: number): void {
    const { selection } = this.folder;
    const target = Math.max(0, Math.min(this.count - 1, this.position + delta));
    const index = this.amongChosen ? selection.chosen.at(target) : target;
    if (index === undefined || index === selection.active) return;
    this.folder.images?.show(index, index);
    selection.choose(index, 'keep');
  }

  dispose(): void {
    Signal.clearData(this);
  }

  private set(isOpen: boolean): void {
    if (isOpen === this._isOpen) return;
    this._isOpen = isOpen;
    this._changed.emit();
  }
}
