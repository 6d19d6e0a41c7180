/**
 * The caption graph's inputs. Prompts and every decoding option are inputs, not constants, so that one session
 * (seconds to build for a full-size model) serves every prompt and setting. `runtime/feeds.ts` computes them.
 */
import type { Graph, Value } from './builder.js';
import { lanesOf, takesAll } from './lanes.js';
import type { CaptionModel, Lane } from './lanes.js';
import type { SearchInputs } from './search.js';

export interface LaneInputs {
  /** [rows] int64: which of the rows before it a lane takes in the prefill; absent where it takes all. */
  prefillRows?: Value;
  /** [queries] int64: the same in a step. */
  stepRows?: Value;
  /** [L, L] fp32 additive mask of the prefill; a head lane has no masks. */
  prefillMask?: Value;
  /** [queries, L] fp32: what each beam sees of the prefill's slots */
  beamMask?: Value;
  /** [1, queries, queries] fp32: each beam sees its own new slot only */
  ownSlot?: Value;
}

export interface CaptionInputs extends SearchInputs {
  /** Per tower [B, D] fp32: what it makes of each image, not normalised. */
  features: ReadonlyMap<number, Value>;
  /** Per stage [T] int64 token ids. */
  prompts: Value[];
  /** [1] int64 = K */
  beams: Value;
  /** [1, K] fp32: 0 for the first beam, −1e9 for the others, which start as its copies */
  startScores: Value;
  /** [1] int64 = C */
  candidates: Value;
  lanes: Record<string, LaneInputs>;
}

/** Declares every input on the graph. Names are the object's own (`beams`, `prompt_0`, `prefillMask_0_0`, …). */
export function declareInputs(g: Graph, model: CaptionModel): CaptionInputs {
  const lanes = lanesOf(model);
  const int = (name: string, ...shape: (number | null)[]) => g.input(name, 'int64', shape);
  const float = (name: string, ...shape: (number | null)[]) => g.input(name, 'float', shape);
  return {
    features: new Map(
      model.prefixes.map(({ tower, embedding }) => [
        tower,
        g.input(`features_${tower}`, 'float', ['B', embedding]),
      ]),
    ),
    prompts: model.stages.map((_, s) => int(`prompt_${s}`, null)),
    beams: int('beams', 1),
    startScores: float('startScores', 1, null),
    candidates: int('candidates', 1),
    repetitionPenalty: float('repetitionPenalty'),
    ngramContext: int('ngramContext', 1),
    ngramOn: g.input('ngramOn', 'bool', []),
    badContexts: int('badContexts', null, null),
    badTokens: int('badTokens', null),
    minNewTokens: int('minNewTokens', 1),
    maxNewTokens: int('maxNewTokens', 1),
    lengthPenalties: float('lengthPenalties', null),
    earlyStopping: g.input('earlyStopping', 'bool', []),
    accumulate: g.input('accumulate', 'bool', []),
    clipcap: g.input('clipcap', 'bool', []),
    stopToken: int('stopToken'),
    sample: g.input('sample', 'bool', []),
    temperature: float('temperature'),
    topK: int('topK', 1),
    tailMass: g.input('tailMass', 'double', []),
    draws: g.input('draws', 'double', [null, null]),
    lanes: Object.fromEntries(lanes.map(lane => [lane.name, laneInputs(g, lane, takesAll(lane, lanes))])),
  };
}

function laneInputs(g: Graph, { name, blocks, from }: Lane, takesAllRows: boolean): LaneInputs {
  const float = (input: string, ...shape: (number | null)[]) => g.input(`${input}_${name}`, 'float', shape);
  const rows = (input: string) => g.input(`${input}_${name}`, 'int64', [null]);
  return {
    ...(from.length > 0 && !takesAllRows
      ? { prefillRows: rows('prefillRows'), stepRows: rows('stepRows') }
      : {}),
    ...(blocks.length > 0
      ? {
          prefillMask: float('prefillMask', null, null),
          beamMask: float('beamMask', null, null),
          ownSlot: float('ownSlot', 1, null, null),
        }
      : {}),
  };
}
