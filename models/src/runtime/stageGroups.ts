/**
 * Which stages can be decoded in one graph, and where their weights are equal.
 */
import type { OpenStage } from '../architecture/release.js';
import { blockIsEqual, compareWeights, sharesAll } from './sharing.js';
import type { Sharing } from './sharing.js';

/** A stage with the tower its features come from. */
export interface Member {
  stage: OpenStage;
  /** Index among the towers that are open. */
  tower: number;
  endOfText: number;
}

/** Stages of one graph. All lists but `members` speak of them by their place in the group. */
export interface StageGroup {
  /** Indices of the group's stages among all. */
  members: number[];
  /** equal[l][s]: first stage with the same block l; the last row: the same final norm and head. */
  equal: number[][];
  /** First stage with the same prefix positions: tower, projector and position embedding. */
  equalStart: number[];
  /** First stage with the same tower and projector. */
  equalPrefix: number[];
}

/**
 * Puts stages that have a block in common, and the same sizes, into one group: their rows pass what they share
 * together. The others get a graph of their own.
 */
export async function groupStages(stages: readonly Member[], cacheDir: string): Promise<StageGroup[]> {
  const groups: { members: number[]; sharings: Sharing[][] }[] = [];
  for (const [index, member] of stages.entries()) {
    let joined = false;
    for (const group of groups) {
      if (sizesOf(stages[group.members[0]!]!) !== sizesOf(member)) continue;
      const sharings: Sharing[] = [];
      for (const other of group.members)
        sharings.push(await compareStages(stages[other]!.stage, member.stage, cacheDir));
      const depth = member.stage.architecture.layers;
      const hasCommon = (sharing: Sharing) =>
        Array.from({ length: depth }, (_, l) => l).some(l => blockIsEqual(sharing, l));
      if (!sharings.some(hasCommon)) continue;
      group.members.push(index);
      group.sharings.push(sharings);
      joined = true;
      break;
    }
    if (!joined) groups.push({ members: [index], sharings: [[]] });
  }
  return groups.map(({ members, sharings }) => {
    const towers = members.map(m => stages[m]!.tower);
    const classes = (isEqual: (sharing: Sharing) => boolean, sameTower = false) =>
      firstEqual(sharings, (sharing, a, b) => (!sameTower || towers[a] === towers[b]) && isEqual(sharing));
    const depth = stages[members[0]!]!.stage.architecture.layers;
    return {
      members,
      equal: [
        ...Array.from({ length: depth }, (_, l) => classes(sharing => blockIsEqual(sharing, l))),
        classes(sharing => sharesAll(sharing, 'gpt2.finalNorm', 'gpt2.head')),
      ],
      equalStart: classes(sharing => sharesAll(sharing, 'projector', 'gpt2.positionEmbedding'), true),
      equalPrefix: classes(sharing => sharesAll(sharing, 'projector'), true),
    };
  });
}

/** For each item the first one it is equal to. `sharings[b][a]` compares b with an earlier a. */
function firstEqual(
  sharings: readonly (readonly Sharing[])[],
  isEqual: (sharing: Sharing, a: number, b: number) => boolean,
): number[] {
  const first: number[] = [];
  sharings.forEach((earlier, b) => {
    const found = earlier.findIndex((sharing, a) => first[a] === a && isEqual(sharing, a, b));
    first.push(found < 0 ? b : found);
  });
  return first;
}

export function compareStages(a: OpenStage, b: OpenStage, cacheDir: string): Promise<Sharing> {
  return compareWeights(a.sources, b.sources, cacheDir);
}

function sizesOf({ stage: { architecture }, endOfText }: Member): string {
  return JSON.stringify([architecture.sizes, architecture.layers, endOfText]);
}
