/**
 * transformers' logits processors, applied to the best candidates of each beam instead of the vocabulary.
 * Shapes: R rows (images × stages), K beams, C candidates, t tokens generated so far.
 *
 * Each processor only lowers scores (a repetition penalty ≥ 1, bans), so the best 2·K after processing are
 * among the first 2·K + (tokens it may touch) before it: `decoding.ts` chooses C by that rule.
 */
import type { Graph, Value } from './builder.js';

export interface Candidates {
  /** [R, K, C], log-probabilities (beam search) or logits (greedy) */
  scores: Value;
  /** [R, K, C], token ids */
  tokens: Value;
}

/** Options as graph inputs, so that one session serves every setting. */
export interface ProcessorInputs {
  /** [] fp32 */
  repetitionPenalty: Value;
  /** [1] int64: n − 1 of n-gram blocking */
  ngramContext: Value;
  /** [] bool: whether n-grams are blocked at all */
  ngramOn: Value;
  /** [W, M] int64: tokens before the last of each bad phrase, right-aligned, −2 = anything */
  badContexts: Value;
  /** [W] int64: the last token of each bad phrase */
  badTokens: Value;
  /** [1] int64 */
  minNewTokens: Value;
  /** [] int64: the token that may not come before then */
  stopToken: Value;
}

/** Repetition penalty, n-gram blocking, bad phrases, minimum length: in transformers' order. */
export function processCandidates(
  g: Graph,
  { scores, tokens }: Candidates,
  sequences: Value, // [R, K, t]
  options: ProcessorInputs,
): Candidates {
  const banned = g.float(-Infinity);
  const generated = g.size(sequences, 2); // [1] = t
  const repeats = g.op('Equal', [g.unsqueeze(tokens, 3), g.unsqueeze(sequences, 2)]); // [R, K, C, t]

  const penalty = options.repetitionPenalty;
  const penalised = g.op('Where', [
    g.op('Less', [scores, g.float(0)]),
    g.mul(scores, penalty),
    g.op('Div', [scores, penalty]),
  ]);
  scores = g.op('Where', [anyOf(g, repeats, 3), penalised, scores]);

  const completes = completesNgram(g, sequences, generated, options); // [R, K, t]
  const ngram = anyOf(g, g.op('And', [repeats, g.unsqueeze(completes, 2)]), 3);
  scores = g.op('Where', [ngram, banned, scores]);

  scores = g.op('Where', [badPhrases(g, tokens, sequences, generated, options), banned, scores]);

  const tooShort = g.op('Less', [generated, options.minNewTokens]); // [1]
  const ends = g.op('And', [g.op('Equal', [tokens, options.stopToken]), tooShort]);
  return { scores: g.op('Where', [ends, banned, scores]), tokens };
}

/** For every generated position: are the n − 1 tokens before it the last n − 1 generated? [R, K, t] */
function completesNgram(g: Graph, sequences: Value, generated: Value, options: ProcessorInputs): Value {
  const context = options.ngramContext;
  const padded = padFront(g, sequences, context); // token i stands at i + n − 1
  const steps = g.range(context); // [n − 1]
  const positions = g.range(generated); // [t]
  const before = g.gather(padded, g.add(g.unsqueeze(positions, 1), steps), 2); // [R, K, t, n − 1]
  const last = g.unsqueeze(g.gather(padded, g.add(generated, steps), 2), 2); // [R, K, 1, n − 1]
  const matches = g.op('Not', [anyOf(g, g.op('Not', [g.op('Equal', [before, last])]), 3)]); // [R, K, t]
  const whole = g.op('GreaterOrEqual', [positions, context]); // its context lies inside the sequence
  return g.op('And', [g.op('And', [matches, whole]), options.ngramOn]);
}

/** Which candidates would complete a bad phrase. [R, K, C] */
function badPhrases(
  g: Graph,
  tokens: Value,
  sequences: Value,
  generated: Value,
  { badContexts, badTokens }: ProcessorInputs,
): Value {
  const length = g.size(badContexts, 1); // [1] = M
  const padded = padFront(g, sequences, length);
  const last = g.unsqueeze(g.slice(padded, generated, g.add(generated, length), 2), 2); // [R, K, 1, M]
  const fits = g.op('Or', [g.op('Equal', [last, badContexts]), g.op('Equal', [badContexts, g.int(-2)])]); // [R, K, W, M]
  const active = g.op('Not', [anyOf(g, g.op('Not', [fits]), 3)]); // [R, K, W]
  const named = g.op('Equal', [g.unsqueeze(tokens, 3), badTokens]); // [R, K, C, W]
  return anyOf(g, g.op('And', [named, g.unsqueeze(active, 2)]), 3);
}

/** Puts `count` times −1 (no token) in front of the last axis. */
function padFront(g: Graph, sequences: Value, count: Value): Value {
  const pads = g.concat([g.ints([0, 0]), count, g.ints([0, 0, 0])], 0);
  return g.op('Pad', [sequences, pads, g.int(-1)]);
}

/**
 * Logical or over an axis (false where it is empty). The axis must not be counted from the end: onnxruntime
 * reduces an empty tensor to the wrong shape then.
 */
function anyOf(g: Graph, x: Value, axis: number): Value {
  return g.op('Greater', [g.reduce('Sum', g.cast(x, 'float'), axis), g.float(0.5)]);
}
