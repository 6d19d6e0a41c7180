/**
 * What is captioned together: the model of a caption graph, and which rows share weights. A lane is a set of rows
 * with keys and values of its own: `trunk` (all stages, the blocks they share) and one `branch` per stage behind it.
 */
import type { Gpt2Sizes, Gpt2Weights, ProjectorWeights } from './weights.js';

/** Additive mask of a slot that may not be seen; half of it tells seen from unseen. */
export const UNSEEN = -1e30;

export interface CaptionModel {
  sizes: Gpt2Sizes;
  prefixSlots: number;
  embedding: number;
  projector: ProjectorWeights;
  stages: readonly Gpt2Weights[];
  /** Number of first blocks that are equal in all stages. */
  sharedBlocks: number;
}

/** A set of rows with pools of its own. */
export interface Lane {
  name: string;
  stages: number[];
  blocks: number[];
}

/** The lanes of a model, in the order its rows pass them. */
export function lanesOf(model: Pick<CaptionModel, 'stages' | 'sharedBlocks'>): Lane[] {
  const all = model.stages.map((_, s) => s);
  const depth = model.stages[0]!.blocks.length;
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  const lanes: Lane[] = [];
  if (model.sharedBlocks > 0)
    lanes.push({ name: 'trunk', stages: all, blocks: range(0, model.sharedBlocks) });
  if (model.sharedBlocks < depth)
    for (const s of all)
      lanes.push({ name: `branch${s}`, stages: [s], blocks: range(model.sharedBlocks, depth) });
  return lanes;
}
