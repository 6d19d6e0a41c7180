import type { OpenStage } from '../architecture/release.js';
import { compareWeights, sharedBlocks, sharesAll } from './sharing.js';
import type { Sharing } from './sharing.js';

export interface StageGroup {
  /** Indices of the stages. */
  members: number[];
  /** Number of first blocks that are equal in all of them. */
  sharedBlocks: number;
}

/**
 * Puts stages that can be decoded in one graph together: equal sizes, and an equal prefix (projector and
 * position embeddings). The others get a graph of their own.
 */
export async function groupStages(stages: readonly OpenStage[], cacheDir: string): Promise<StageGroup[]> {
  const groups: StageGroup[] = [];
  for (const [index, stage] of stages.entries()) {
    let joined = false;
    for (const group of groups) {
      const first = stages[group.members[0]!]!;
      if (!sameSizes(first, stage)) continue;
      const sharing = await compareStages(first, stage, cacheDir);
      if (!sharesAll(sharing, 'projector', 'gpt2.positionEmbedding')) continue;
      group.members.push(index);
      group.sharedBlocks = Math.min(group.sharedBlocks, sharedBlocks(sharing, stage.architecture.layers));
      joined = true;
      break;
    }
    if (!joined) groups.push({ members: [index], sharedBlocks: stage.architecture.layers });
  }
  return groups;
}

export function compareStages(a: OpenStage, b: OpenStage, cacheDir: string): Promise<Sharing> {
  return compareWeights(a.sources, b.sources, cacheDir);
}

function sameSizes(a: OpenStage, b: OpenStage): boolean {
  const key = ({ architecture: { sizes, layers, prefixSlots, embedding } }: OpenStage) =>
    JSON.stringify([sizes, layers, prefixSlots, embedding]);
  return key(a) === key(b);
}
