import type { TokenScores } from '../captioner.js';
import { readingFeeds } from '../explanation/reading.js';
import type { ReadingTokens } from '../explanation/reading.js';
import type { Sessions } from '../explanation/sessions.js';
import type { ExplainedModel } from '../graph/explain.js';
import type { CaptionModel } from '../graph/lanes.js';
import { scoreGraph } from '../graph/score.js';
import { int64 } from './tensors.js';
import { unitLength } from './unitLength.js';

/** Scores texts with the weights of open caption graphs. A stage's session is made when it is first asked for. */
export class StageScorer {
  /** @param groups with the index of each of their stages among the captioner's */
  constructor(
    private readonly groups: readonly { members: readonly number[]; model: CaptionModel }[],
    private readonly sessions: Sessions,
  ) {}

  /** @param features [D], as the stage's tower gives them */
  async score(stage: number, features: Float32Array, tokens: ReadingTokens): Promise<TokenScores> {
    const { model, input } = this.modelOf(stage);
    const session = await this.sessions.get(`score ${stage}`, () => scoreGraph(model));
    const embedding = input === 'embedding' ? unitLength(features) : features;
    const all = tokens.text.map((_, i) => i);
    const { rows, ...feeds } = readingFeeds(model, embedding, tokens, all);
    const outputs = await session.run({ ...feeds, rows: int64(rows) });
    return {
      logProbabilities: Array.from(outputs['logProbability']!.data as Float32Array),
      likeliest: Array.from(outputs['likeliest']!.data as BigInt64Array, Number),
    };
  }

  release(): Promise<void> {
    return this.sessions.release();
  }

  private modelOf(stage: number): { model: ExplainedModel; input: 'embedding' | 'features' } {
    const { members, model } = this.groups.find(group => group.members.includes(stage))!;
    const { weights, prefix } = model.stages[members.indexOf(stage)]!;
    const { slots, embedding, projector, input } = model.prefixes[prefix]!;
    const explained = { sizes: model.sizes, prefixSlots: slots, embedding, projector, gpt2: weights };
    return { model: explained, input };
  }
}
