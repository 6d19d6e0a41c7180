/**
 * What is captioned together: the model of a caption graph, and which rows pass which weights together.
 *
 * A lane is a set of stages whose rows go through some consecutive blocks in one batch, with keys and values of its
 * own. Stages whose weights are equal at a block share a lane there; they may part and meet again. Behind the last
 * block, head lanes hold the rows that become logits.
 */
import type { Gpt2Sizes, Gpt2Weights, ProjectorWeights } from './weights.js';

/** Additive mask of a slot that may not be seen; half of it tells seen from unseen. */
export const UNSEEN = -1e30;

/** A distinct prefix: the features of one vision tower through one projector. */
export interface PrefixModel {
  /** Which of the captioner's towers the features come from; stages with the same number share them. */
  tower: number;
  projector: ProjectorWeights;
  /** What the projector takes: the features, or the embedding that they are when of unit length. */
  input: 'embedding' | 'features';
  slots: number;
  /** Width D of the tower's features. */
  embedding: number;
}

export interface StageModel {
  weights: Gpt2Weights;
  /** Which of the model's prefixes this stage has. */
  prefix: number;
}

export interface CaptionModel {
  sizes: Gpt2Sizes;
  prefixes: readonly PrefixModel[];
  stages: readonly StageModel[];
  /**
   * equal[l][s] is the first stage whose block l has the weights of stage s's. The last row is about the final norm
   * and the head together.
   */
  equal: readonly (readonly number[])[];
  /** The same for prefix and position embedding together: stages whose prefix positions are one. */
  equalStart: readonly number[];
}

export interface Lane {
  name: string;
  /** In the order of their rows. */
  stages: number[];
  /** Empty for a head lane. */
  blocks: number[];
  /** Lanes whose rows, one after the other, this lane picks its own from; none: it begins with the embeddings. */
  from: string[];
}

/** The lanes of a model, in the order its rows pass them; the head lanes come last. */
export function lanesOf({ equal, stages }: Pick<CaptionModel, 'equal' | 'stages'>): Lane[] {
  const lanes: Lane[] = [];
  let before: Lane[] = [];
  const depth = equal.length - 1;
  for (let block = 0; block <= depth; block++) {
    const isHead = block === depth;
    if (!isHead && block > 0 && equal[block]!.join() === equal[block - 1]!.join()) {
      for (const lane of before) lane.blocks.push(block);
      continue;
    }
    const order = before.length > 0 ? before.flatMap(lane => lane.stages) : stages.map((_, s) => s);
    const section = [...new Set(equal[block]!)].map((first, i): Lane => {
      const members = order.filter(s => equal[block]![s] === first);
      const from = before.filter(lane => lane.stages.some(s => members.includes(s))).map(lane => lane.name);
      return {
        name: `${isHead ? 'head' : block}_${i}`,
        stages: members,
        blocks: isHead ? [] : [block],
        from,
      };
    });
    lanes.push(...section);
    before = section;
  }
  return lanes;
}

/** Whether a lane takes every row of the one lane before it, as it comes. */
export function takesAll(lane: Lane, lanes: readonly Lane[]): boolean {
  const before = lanes.find(({ name }) => name === lane.from[0]);
  return lane.from.length === 1 && lane.blocks.length > 0 && before!.stages.join() === lane.stages.join();
}

/** First stages of the distinct prefixes in a lane. */
export function startsOf({ equalStart }: Pick<CaptionModel, 'equalStart'>, lane: Lane): number[] {
  return [...new Set(lane.stages.map(s => equalStart[s]!))];
}
