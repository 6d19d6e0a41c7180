/** What the readers of vision transformers have in common. */
import { DermcapError } from '../errors.js';
import type { VitForm, VitSizes, VitWeights } from '../graph/weights.js';
import type { KeyAccount, KeyLedger } from './keys.js';
import type { SourcesOf } from './source.js';

/** What a tower's configuration says about its pictures. */
export interface PreprocessConfig {
  /** Pixels of a side. */
  imageSize: number;
  mean: number[];
  std: number[];
  /** Where its library cuts the centre out; see `InputSpec`. */
  centre: 'even' | 'first';
}

/** A vision transformer found in a state dict. */
export interface VitArchitecture {
  name: string;
  sizes: VitSizes;
  form: VitForm;
  layers: number;
  sources: SourcesOf<VitWeights>;
  keys: KeyAccount;
}

/** Number of blocks under `<prefix>.N.` */
export function countBlocks(keys: Iterable<string>, prefix: string): number {
  let count = 0;
  for (const key of keys) {
    if (!key.startsWith(`${prefix}.`)) continue;
    const number = /^\d+/.exec(key.slice(prefix.length + 1))?.[0];
    if (number !== undefined) count = Math.max(count, Number(number) + 1);
  }
  return count;
}

/** Leaves out what a CLIP checkpoint holds beside its vision tower. */
export function ignoreText(keys: KeyLedger): void {
  keys.ignore(
    /^(text|text_model|text_projection|transformer|token_embedding|ln_final)\.|^(positional_embedding|text_projection|attn_mask)$/,
    'text tower, not used for captions',
  );
  keys.ignore(/^logit_(scale|bias)$/, 'contrastive temperature, not used for captions');
}

/** @throws DermcapError `heads-unknown` */
export function checkedHeads(heads: number, width: number, file: string, hint: string): number {
  if (Number.isInteger(heads) && heads > 0 && width % heads === 0) return heads;
  throw new DermcapError(
    'heads-unknown',
    `${file}: the attention heads of its transformer (width ${width}) are not known.`,
    {
      hint,
    },
  );
}

const SIZE_NAMES: Record<number, string> = {
  192: 'Ti',
  384: 'S',
  768: 'B',
  1024: 'L',
  1280: 'H',
  1408: 'g',
  1664: 'bigG',
};

/** "ViT-B/16" */
export function vitName(width: number, patchSize: number): string {
  return `ViT-${SIZE_NAMES[width] ?? width}/${patchSize}`;
}
