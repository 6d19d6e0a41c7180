/**
 * The caption graph's inputs. Prompts and every decoding option are inputs, not constants, so that one session
 * (seconds to build for a full-size model) serves every prompt and setting. `runtime/feeds.ts` computes them.
 */
import type { Graph, Value } from './builder.js';
import { lanesOf } from './lanes.js';
import type { CaptionModel } from './lanes.js';
import type { SearchInputs } from './search.js';

export interface StageInputs {
  /** [T] int64 token ids */
  prompt: Value;
  /** [P + T] int64: where this stage's positions stand among all of the prefill's */
  promptRows: Value;
  /** [K] int64: the last position, K times */
  lastPrompt: Value;
  /** [K] int64: where this stage's rows stand in a step */
  stepRows: Value;
  /** [1] int64: P + T, the position of the first new token */
  firstPosition: Value;
}

export interface LaneInputs {
  /** [L, L] fp32 additive mask of the prefill */
  prefillMask: Value;
  /** [beams, L] fp32: what each beam sees of the prefill's slots */
  beamMask: Value;
  /** [1, beams, beams] fp32: each beam sees its own new slot only */
  ownSlot: Value;
}

export interface CaptionInputs extends SearchInputs {
  /** [B, D] fp32 */
  embedding: Value;
  /** [P + ΣT] int64 */
  positions: Value;
  /** [1] int64 = K */
  beams: Value;
  /** [1, K] fp32: 0 for the first beam, −1e9 for the others, which start as its copies */
  startScores: Value;
  /** [1] int64 = C */
  candidates: Value;
  stages: StageInputs[];
  lanes: Record<string, LaneInputs>;
}

/** Declares every input on the graph. Names are the object's own (`beams`, `prompt_0`, `prefillMask_trunk`, …). */
export function declareInputs(g: Graph, model: CaptionModel): CaptionInputs {
  const int = (name: string, ...shape: (number | null)[]) => g.input(name, 'int64', shape);
  const float = (name: string, ...shape: (number | null)[]) => g.input(name, 'float', shape);
  return {
    embedding: g.input('embedding', 'float', ['B', model.embedding]),
    positions: int('positions', null),
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
    stages: model.stages.map((_, s) => ({
      prompt: int(`prompt_${s}`, null),
      promptRows: int(`promptRows_${s}`, null),
      lastPrompt: int(`lastPrompt_${s}`, null),
      stepRows: int(`stepRows_${s}`, null),
      firstPosition: int(`firstPosition_${s}`, 1),
    })),
    lanes: Object.fromEntries(
      lanesOf(model).map(({ name }) => [
        name,
        {
          prefillMask: float(`prefillMask_${name}`, null, null),
          beamMask: float(`beamMask_${name}`, null, null),
          ownSlot: float(`ownSlot_${name}`, 1, null, null),
        },
      ]),
    ),
  };
}
