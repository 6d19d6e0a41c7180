/**
 * Drawing a token: transformers' warpers in their order (temperature, top-k, top-p), then the inverse of the cumulative
 * distribution at a number that comes from outside, so that a draw can be repeated.
 * Shapes: R rows (images × stages), K beams (one), C candidates.
 */
import type { Graph, Value } from './builder.js';
import type { Candidates } from './processors.js';

export interface SamplingInputs {
  /** [] bool: draw instead of taking the best */
  sample: Value;
  /** [] fp32 */
  temperature: Value;
  /** [1] int64: k of top-k, at most C; C when it is off */
  topK: Value;
  /** [] fp64: 1 − p of top-p */
  tailMass: Value;
  /** [all rows, N] fp64 in [0, 1): one for each step */
  draws: Value;
}

/**
 * The candidates as they are, or with `sample` those in which a drawn token has score 0 and all others −∞, so that
 * greedy search takes it.
 */
export function drawCandidates(
  g: Graph,
  { scores, tokens }: Candidates,
  rows: Value, // [R] int64: which of all rows these are
  step: Value, // [1] int64
  options: SamplingInputs,
): Candidates {
  const [chosen, theirs] = g.either(
    options.sample,
    [
      ['float', 3],
      ['int64', 3],
    ],
    branch => {
      const numbers = branch.gather(branch.gather(options.draws, rows, 0), step, 1); // [R, 1]
      const drawn = draw(branch, { scores, tokens }, numbers, options);
      return [drawn.scores, drawn.tokens];
    },
    () => [scores, tokens],
  );
  return { scores: chosen!, tokens: theirs! };
}

function draw(g: Graph, { scores, tokens }: Candidates, numbers: Value, options: SamplingInputs): Candidates {
  const { temperature, topK, tailMass } = options;
  const count = g.size(scores, 2); // [1] = C
  const [sorted, order] = g.topK(g.op('Div', [scores, temperature]), count); // [R, K, C], descending
  const positions = g.range(count); // [C]

  // Top-k keeps what ties with the k-th. Top-p drops the tail of mass 1 − p, but never the likeliest.
  const least = g.slice(sorted, g.sub(topK, g.ints([1])), topK, 2); // [R, K, 1]
  const among = g.op('Where', [g.op('GreaterOrEqual', [sorted, least]), sorted, g.float(-Infinity)]);
  const probabilities = g.cast(g.op('Softmax', [among], { axis: { i: -1 } }), 'double');
  const tail = g.op('CumSum', [probabilities, g.int(2)], { reverse: { i: 1 } }); // its own and all less likely
  const inNucleus = g.op('Or', [g.op('Greater', [tail, tailMass]), g.op('Equal', [positions, g.int(0)])]);
  const kept = g.mul(probabilities, g.cast(inNucleus, 'double'));

  // The first token whose cumulative probability exceeds the draw. Below 1 by 2⁻³² at least, it never exceeds all.
  const cumulative = g.op('CumSum', [kept, g.int(2)]);
  const total = g.slice(cumulative, -1, Number.MAX_SAFE_INTEGER, 2); // [R, K, 1]
  const height = g.mul(g.unsqueeze(numbers, 2), total); // [R, K, 1]
  const below = g.cast(g.op('LessOrEqual', [cumulative, height]), 'int64');
  const drawn = g.op('Equal', [positions, g.reduce('Sum', below, 2, true)]); // [R, K, C]
  return {
    scores: g.op('Where', [drawn, g.float(0), g.float(-Infinity)]),
    tokens: g.gatherElements(tokens, order, 2),
  };
}
