/**
 * From the candidates of each beam to the next state of the search, however captions are searched for: transformers'
 * processors, sampling, one of two beam searches. What is switched off is skipped, in one and the same graph.
 */
import { beamStep } from './beam.js';
import type { BeamInputs, BeamState, BeamStep } from './beam.js';
import type { Graph, Value } from './builder.js';
import { clipcapStep } from './clipcapBeam.js';
import type { ElementType } from './onnx.js';
import { processCandidates } from './processors.js';
import type { Candidates, ProcessorInputs } from './processors.js';
import { drawCandidates } from './sampling.js';
import type { SamplingInputs } from './sampling.js';

export interface SearchInputs extends ProcessorInputs, SamplingInputs, BeamInputs {
  /** [] bool: ClipCap's beam search instead of transformers' */
  clipcap: Value;
}

const STATE = {
  sequences: ['int64', 3],
  runningScores: ['float', 2],
  finishedSequences: ['int64', 3],
  finishedScores: ['float', 2],
  isFinished: ['bool', 2],
  canImprove: ['bool', 2],
  goOn: ['bool', 0],
} as const satisfies Record<keyof BeamState, [ElementType, number]>;
const KEYS = Object.keys(STATE) as (keyof BeamState)[];

/**
 * R rows (images × stages), K beams, C candidates each.
 * @param rows [R] int64: which of all rows these are
 */
export function searchStep(
  g: Graph,
  candidates: Candidates,
  rows: Value,
  state: BeamState,
  inputs: SearchInputs,
): BeamStep {
  const processed = processCandidates(g, candidates, state.sequences, inputs);
  const drawn = drawCandidates(g, processed, rows, g.size(state.sequences, 2), inputs);
  const inOrder = ({ next, parents, tokens }: BeamStep) => [...KEYS.map(key => next[key]), parents, tokens];
  const results = g.either(
    inputs.clipcap,
    [...KEYS.map(key => STATE[key]), ['int64', 2], ['int64', 2]],
    branch => inOrder(clipcapStep(branch, drawn, state, inputs)),
    branch => inOrder(beamStep(branch, drawn, state, inputs)),
  );
  return {
    next: Object.fromEntries(KEYS.map((key, i) => [key, results[i]!])) as unknown as BeamState,
    parents: results[KEYS.length]!,
    tokens: results[KEYS.length + 1]!,
  };
}
