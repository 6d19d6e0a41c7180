/**
 * One step of ClipCap's beam search (rmokady/CLIP_prefix_caption, predict.py, `generate_beam`). Beams are compared by
 * their mean log-probability. One that has met its stop token stays among them with its length frozen; ClipCap gives it
 * token 0 from then on and cuts that off at last, here it gets NO_TOKEN.
 * R rows (images × stages), K beams, C candidates per beam, t tokens so far, N maximum.
 */
import { extendBeams, NO_TOKEN, padBeams } from './beam.js';
import type { BeamInputs, BeamState, BeamStep } from './beam.js';
import type { Graph } from './builder.js';
import type { Candidates } from './processors.js';

export function clipcapStep(
  g: Graph,
  { scores, tokens }: Candidates,
  state: BeamState,
  options: BeamInputs,
): BeamStep {
  const rows = g.size(state.sequences, 0); // [1]
  const beams = g.size(state.sequences, 1); // [1]
  const perBeam = g.size(scores, 2); // [1] = C
  const length = g.add(g.size(state.sequences, 2), g.ints([1])); // [1] = t + 1

  // A stopped beam has one continuation, which changes nothing; the others grow by a token.
  const stopped = g.unsqueeze(state.isFinished, 2); // [R, K, 1]
  const isFirst = g.op('Equal', [g.range(perBeam), g.int(0)]); // [C]
  const onlyFirst = g.op('Where', [isFirst, g.float(0), g.float(-Infinity)]);
  const continued = g.op('Where', [stopped, onlyFirst, scores]);
  const named = g.op('Where', [stopped, g.int(NO_TOKEN), tokens]);
  const isToken = g.cast(g.op('GreaterOrEqual', [state.sequences, g.int(0)]), 'float');
  const grows = g.cast(g.op('Not', [state.isFinished]), 'float');
  const lengths = g.add(g.reduce('Sum', isToken, 2), grows); // [R, K]

  const sums = g.add(continued, g.unsqueeze(state.runningScores, 2)); // [R, K, C]
  const flat = g.concat([rows, g.mul(beams, perBeam)], 0);
  const [means, index] = g.topK(g.reshape(g.op('Div', [sums, g.unsqueeze(lengths, 2)]), flat), beams); // [R, K]
  const parents = g.op('Div', [index, perBeam]);
  const token = g.gatherElements(g.reshape(named, flat), index, 1);
  const hasStopped = g.gatherElements(g.cast(state.isFinished, 'int64'), parents, 1);
  const isFinished = g.op('Or', [g.cast(hasStopped, 'bool'), g.op('Equal', [token, options.stopToken])]);
  const sequences = extendBeams(g, state.sequences, parents, token);

  // Once all its beams have stopped, a row stays as it is while others go on.
  const update = (axes: number[], after: string, before: string) =>
    g.op('Where', [
      axes.length === 0 ? state.canImprove : g.unsqueeze(state.canImprove, ...axes),
      after,
      before,
    ]);
  const running = g.cast(g.op('Not', [isFinished]), 'int64');
  const canImprove = g.cast(g.reduce('Max', running, 1, true), 'bool'); // [R, 1]
  const someRuns = g.cast(g.op('ReduceMax', [running], { keepdims: { i: 0 } }), 'bool');
  const isLast = g.op('GreaterOrEqual', [length, options.maxNewTokens]); // [1]
  return {
    next: {
      sequences,
      runningScores: g.mul(means, g.gatherElements(lengths, parents, 1)),
      finishedSequences: update([2], padBeams(g, sequences, options.maxNewTokens), state.finishedSequences),
      finishedScores: update([], means, state.finishedScores),
      isFinished,
      canImprove,
      goOn: g.op('And', [someRuns, g.op('Not', [g.squeeze(isLast, 0)])]),
    },
    parents,
    tokens: g.op('Max', [token, g.int(0)]),
  };
}
