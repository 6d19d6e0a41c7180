/**
 * One step of transformers' vectorised beam search (generation/utils.py, `_beam_search`, 5.x), over tens of
 * candidates. R rows (images × stages), K beams, C candidates per beam, t tokens so far, N maximum.
 * Greedy search is the case K = 1 on raw logits.
 */
import type { Graph, Value } from './builder.js';
import type { Candidates } from './processors.js';

/** What beam search carries from step to step. */
export interface BeamState {
  /** [R, K, t] int64, running beams */
  sequences: Value;
  /** [R, K] fp32, summed log-probabilities of the running beams */
  runningScores: Value;
  /** [R, K, N] int64, finished beams, padded with NO_TOKEN */
  finishedSequences: Value;
  /** [R, K] fp32, length-normalised */
  finishedScores: Value;
  /** [R, K] bool: which finished slots are filled */
  isFinished: Value;
  /** [R, 1] bool: could a running beam still improve on the finished ones? Never true again once false. */
  canImprove: Value;
  /** [] bool: whether another step is needed */
  goOn: Value;
}

export interface BeamInputs {
  /** [] int64: the token that ends a caption */
  stopToken: Value;
  /** [1] int64 */
  maxNewTokens: Value;
  /** [N + 2] fp32: length ** length_penalty */
  lengthPenalties: Value;
  /** [] bool */
  earlyStopping: Value;
  /** [] bool: false = greedy, whose steps do not add up */
  accumulate: Value;
}

export interface BeamStep {
  next: BeamState;
  /** [R, K] int64: the beam each running beam descends from, within its row */
  parents: Value;
  /** [R, K] int64: the token each running beam got */
  tokens: Value;
}

/** Behind the end of a caption. */
export const NO_TOKEN = -1;

/** transformers' stand-in for minus infinity. */
const LOST = -1e9;

export function beamStep(
  g: Graph,
  { scores, tokens }: Candidates,
  state: BeamState,
  options: BeamInputs,
): BeamStep {
  const rows = g.size(state.sequences, 0); // [1]
  const beams = g.size(state.sequences, 1); // [1]
  const generated = g.size(state.sequences, 2); // [1] = t
  const length = g.add(generated, g.ints([1])); // [1] = t + 1
  const perBeam = g.size(scores, 2); // [1] = C
  const kept = g.mul(beams, g.ints([2])); // [1] = 2K

  // The best 2K continuations of each row.
  const flat = g.concat([rows, g.mul(beams, perBeam)], 0);
  const total = g.reshape(g.add(scores, g.unsqueeze(state.runningScores, 2)), flat);
  const [best, index] = g.topK(total, kept); // [R, 2K]
  const token = g.gatherElements(g.reshape(tokens, flat), index, 1);
  const parent = g.op('Div', [index, perBeam]);
  const isLast = g.op('GreaterOrEqual', [length, options.maxNewTokens]); // [1]
  const ended = g.op('Or', [g.op('Equal', [token, options.stopToken]), isLast]); // [R, 2K]

  // Running beams: the best K that have not ended.
  const [runningScores, chosen] = g.topK(g.add(best, lost(g, ended)), beams); // [R, K]
  const parents = g.gatherElements(parent, chosen, 1);
  const newTokens = g.gatherElements(token, chosen, 1);
  const sequences = extendBeams(g, state.sequences, parents, newTokens); // [R, K, t + 1]

  // Finished beams: those ended among the first K join, the best K stay.
  const divisor = g.gather(options.lengthPenalties, length, 0); // [1]
  const isTop = g.op('Less', [g.range(kept), beams]); // [2K]
  const justEnded = g.op('And', [ended, isTop]);
  const isFull = g.op('And', [allOf(g, state.isFinished), options.earlyStopping]); // [R, 1]
  let joining = g.op('Div', [best, divisor]);
  joining = g.add(joining, lost(g, isFull));
  joining = g.add(joining, lost(g, g.op('Not', [state.canImprove])));
  joining = g.add(joining, lost(g, g.op('Not', [justEnded])));
  const [finishedScores, winner] = g.topK(g.concat([state.finishedScores, joining], 1), beams);
  const flags = g.concat([g.cast(state.isFinished, 'int64'), g.cast(justEnded, 'int64')], 1);
  const isFinished = g.cast(g.gatherElements(flags, winner, 1), 'bool');
  const continued = extendBeams(g, state.sequences, parent, token); // [R, 2K, t + 1]
  const pool = g.concat([state.finishedSequences, padBeams(g, continued, options.maxNewTokens)], 1); // [R, 3K, N]
  const finishedSequences = gatherBeams(g, pool, winner);

  // Can anything still change?
  const bestRunning = g.op('Div', [g.slice(runningScores, 0, 1, 1), divisor]); // [R, 1]
  const worstFinished = g.op('Where', [isFinished, g.reduce('Min', finishedScores, 1, true), g.float(LOST)]); // [R, K]
  const improves = anyOf(g, g.op('Greater', [bestRunning, worstFinished])); // [R, 1]
  const canImprove = g.op('And', [state.canImprove, improves]);
  const allFull = g.op('And', [everywhere(g, 'Min', isFinished), options.earlyStopping]);
  const goOn = g.op('And', [
    everywhere(g, 'Max', canImprove),
    g.op('Not', [g.op('Or', [allFull, everywhere(g, 'Min', ended)])]),
  ]);

  const carriedScores = g.op('Where', [options.accumulate, runningScores, g.float(0)]);
  return {
    next: {
      sequences,
      runningScores: carriedScores,
      finishedSequences,
      finishedScores,
      isFinished,
      canImprove,
      goOn,
    },
    parents,
    tokens: newTokens,
  };
}

/** Row r of the result: beams `index[r]` of row r. beams: [R, K, t], index: [R, n] → [R, n, t] */
function gatherBeams(g: Graph, beams: Value, index: Value): Value {
  const [rows, perRow, length] = [0, 1, 2].map(axis => g.size(beams, axis)) as [Value, Value, Value];
  const flat = g.op('Reshape', [beams, g.concat([g.mul(rows, perRow), length], 0)], { allowzero: { i: 1 } });
  const rowOffset = g.unsqueeze(g.mul(g.range(rows), g.squeeze(perRow, 0)), 1); // [R, 1]
  return g.gather(flat, g.add(index, rowOffset), 0);
}

/** Beams `parents` with one more token each. sequences: [R, K, t]; parents, tokens: [R, n] → [R, n, t + 1] */
export function extendBeams(g: Graph, sequences: Value, parents: Value, tokens: Value): Value {
  return g.concat([gatherBeams(g, sequences, parents), g.unsqueeze(tokens, 2)], 2);
}

/** [R, n, t] → [R, n, N], filled with NO_TOKEN */
export function padBeams(g: Graph, sequences: Value, length: Value): Value {
  const missing = g.sub(length, g.size(sequences, 2));
  return g.op('Pad', [sequences, g.concat([g.ints([0, 0, 0, 0, 0]), missing], 0), g.int(NO_TOKEN)]);
}

/** −1e9 where the condition holds, else 0. */
function lost(g: Graph, condition: Value): Value {
  return g.mul(g.cast(condition, 'float'), g.float(LOST));
}

function allOf(g: Graph, x: Value): Value {
  return g.cast(g.reduce('Min', g.cast(x, 'int64'), 1, true), 'bool');
}

function anyOf(g: Graph, x: Value): Value {
  return g.cast(g.reduce('Max', g.cast(x, 'int64'), 1, true), 'bool');
}

/** Over all elements: any (Max) or all (Min), as a scalar. */
function everywhere(g: Graph, kind: 'Max' | 'Min', x: Value): Value {
  return g.cast(g.op(`Reduce${kind}`, [g.cast(x, 'int64')], { keepdims: { i: 0 } }), 'bool');
}
