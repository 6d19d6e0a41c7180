/**
 * From groups of stages to the models their graphs are built of.
 */
import type { CaptionModel, PrefixModel, StageModel } from '../graph/lanes.js';
import type { Gpt2Block, Gpt2Weights, ProjectorWeights } from '../graph/weights.js';
import type { Load } from './loading.js';
import type { Member, StageGroup } from './stageGroups.js';

/** Loads what a group's stages are made of, each distinct weight once. */
export async function captionModel(
  { members, equal, equalStart, equalPrefix }: StageGroup,
  all: readonly Member[],
  load: Load,
): Promise<CaptionModel> {
  const group = members.map(member => all[member]!);
  const prefixes: PrefixModel[] = [];
  const stages: StageModel[] = [];
  for (const [s, { stage, tower }] of group.entries()) {
    const { projector } = stage.architecture;
    const own = equalPrefix[s] === s;
    if (own)
      prefixes.push({
        tower,
        input: projector.input,
        slots: projector.slots,
        embedding: projector.embedding,
        projector: await load<ProjectorWeights>(stage.sources.projector, 'projector'),
      });
    const { blocks, tokenEmbedding, positionEmbedding, finalNorm, head } = stage.sources.gpt2;
    const loaded: Gpt2Block[] = [];
    for (const [l, block] of blocks.entries()) {
      const first = equal[l]![s]!;
      loaded.push(
        first === s ? await load<Gpt2Block>(block, 'gpt2', `blocks.${l}`) : stages[first]!.weights.blocks[l]!,
      );
    }
    const firstHead = equal.at(-1)![s]!;
    const rest = await load<Omit<Gpt2Weights, 'blocks' | 'head' | 'finalNorm'>>(
      { tokenEmbedding, positionEmbedding },
      'gpt2',
    );
    const end =
      firstHead === s
        ? await load<Pick<Gpt2Weights, 'head' | 'finalNorm'>>({ finalNorm, head }, 'gpt2')
        : stages[firstHead]!.weights;
    const { finalNorm: norm, head: logits } = end;
    stages.push({
      prefix: own ? prefixes.length - 1 : stages[equalPrefix[s]!]!.prefix,
      weights: { ...rest, blocks: loaded, finalNorm: norm, head: logits },
    });
  }
  const { sizes } = group[0]!.stage.architecture;
  return { sizes: { ...sizes, endOfText: group[0]!.endOfText }, prefixes, stages, equal, equalStart };
}
