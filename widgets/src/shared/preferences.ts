import type { PreprocessMode } from '@dermcap/kernel-server/contract';
import { Signal, type ISignal } from '@lumino/signaling';

/** What a person may set once for all panels. */
export interface PreferenceValues {
  /** Width of a thumbnail in CSS pixels. */
  thumbnailSize: number;
  preprocess: PreprocessMode;
  /** Rotate by EXIF before preprocessing. */
  autoOrient: boolean;
  /** Beams of the search; 1 is greedy. */
  numBeams: number;
}

export const SMALLEST_THUMBNAIL = 96;
export const LARGEST_THUMBNAIL = 320;

/** Preferences shared by all panels; whoever stores them listens to `changed`. */
export class Preferences {
  private readonly _changed = new Signal<this, Partial<PreferenceValues>>(this);
  private _values: PreferenceValues = {
    thumbnailSize: 128,
    preprocess: 'train-centre',
    autoOrient: true,
    numBeams: 4,
  };

  get values(): Readonly<PreferenceValues> {
    return this._values;
  }

  /** Emits what was set. */
  get changed(): ISignal<this, Partial<PreferenceValues>> {
    return this._changed;
  }

  set(values: Partial<PreferenceValues>): void {
    this._values = { ...this._values, ...values };
    this._changed.emit(values);
  }
}
