/**
 * One step of decoding, the body of the inner loop: every block over the new positions of all stages, logits, one
 * step of beam search, and the embeddings of what it chose. The first step is the prefill.
 *
 * b images still decoding, S stages, K beams, Q queries of a lane (its stages × K), R rows = b·S.
 */
import type { BeamState } from './beam.js';
import type { Graph, Value } from './builder.js';
import type { Carried } from './carried.js';
import { gpt2Block, normalise, settled } from './gpt2.js';
import type { KeyValue, Residual } from './gpt2.js';
import type { CaptionInputs } from './inputs.js';
import type { CaptionModel, Lane } from './lanes.js';
import { linear } from './linear.js';
import type { Candidates } from './processors.js';
import { searchStep } from './search.js';

/** What a step is built from. */
export interface StepContext {
  model: CaptionModel;
  inputs: CaptionInputs;
  lanes: readonly Lane[];
  state: Carried;
  pools: Carried;
}

export function poolName(part: 'key' | 'value', lane: Lane, block: number): string {
  return `${part}_${lane.name}_${block}`;
}

/** The body of the inner loop; pools frozen by the outer one are seen there as `frozen_…`. */
export function stepBody(outer: Graph, context: StepContext): Graph {
  const { model, inputs, lanes, state, pools } = context;
  const g = outer.child('step');
  g.input(g.fresh('iteration'), 'int64', []);
  g.input(g.fresh('condition'), 'bool', []);
  state.declare(g);
  pools.declare(g);
  const next: Record<string, Value> = { rows: 'rows' };

  const ends = new Map<string, Residual>();
  const perStage: Candidates[] = [];
  for (const lane of lanes) {
    const x = pickRows(g, lane, ends, inputs);
    if (lane.blocks.length > 0) ends.set(lane.name, runBlocks(g, x, lane, model, next));
    else {
      const { weights } = model.stages[lane.stages[0]!]!;
      const { normed } = normalise(g, x, weights.finalNorm); // [b, Q, C]
      const best = candidates(g, linear(g, normed, weights.head), inputs); // of logits [b, Q, V]
      lane.stages.forEach((stage, i) => {
        perStage[stage] = lane.stages.length > 1 ? beamsOf(g, best, i, inputs) : best;
      });
    }
  }
  const stack = (part: keyof Candidates) =>
    stackStages(
      g,
      perStage.map(c => c[part]),
      inputs,
    );
  const stacked: Candidates = { scores: stack('scores'), tokens: stack('tokens') };

  const carried = Object.fromEntries(state.names.map(name => [name, name])) as unknown as BeamState;
  const beam = searchStep(g, stacked, 'rows', carried, inputs);
  Object.assign(next, beam.next);

  for (const lane of lanes) {
    const { stepRows } = inputs.lanes[lane.name]!;
    if (stepRows) next[`rows_${lane.name}`] = stepRows;
    if (lane.blocks.length === 0) continue;
    if (lane.from.length === 0) next[`x_${lane.name}`] = nextInput(g, lane, model, inputs, beam.tokens);
    const seen = nextSeen(g, lane, beam.parents, inputs, model.stages.length);
    next[`seen_${lane.name}`] = seen;
    next[`mask_${lane.name}`] = g.unsqueeze(seen, 1);
  }

  g.output(beam.next.goOn, 'bool', [], g.fresh('condition'));
  state.output(g, next);
  pools.output(g, next);
  return g;
}

/** A lane's rows, out of those of the lanes before it. */
function pickRows(
  g: Graph,
  lane: Lane,
  ends: ReadonlyMap<string, Residual>,
  inputs: CaptionInputs,
): Residual {
  if (lane.from.length === 0) return { stream: `x_${lane.name}` };
  const sources = lane.from.map(name => ends.get(name)!);
  // Lanes that meet have other biases pending: add them first.
  const whole: Residual =
    sources.length === 1
      ? sources[0]!
      : {
          stream: g.concat(
            sources.map(source => settled(g, source)),
            1,
          ),
        };
  if (!inputs.lanes[lane.name]!.stepRows) return whole;
  const pick = (value: Value) => g.gather(value, `rows_${lane.name}`, 1);
  const { stream, pending } = whole;
  return {
    stream: pick(stream),
    ...(pending ? { pending: { ...pending, value: pick(pending.value) } } : {}),
  };
}

function runBlocks(
  g: Graph,
  x: Residual,
  lane: Lane,
  model: CaptionModel,
  next: Record<string, Value>,
): Residual {
  const { heads, width } = model.sizes;
  const mask = `mask_${lane.name}`;
  const frozenSlots = g.size(`frozen_${poolName('key', lane, lane.blocks[0]!)}`, 2);
  const split = g.concat([frozenSlots, g.sub(g.size(mask, 3), frozenSlots)], 0);
  for (const block of lane.blocks) {
    const names = { key: poolName('key', lane, block), value: poolName('value', lane, block) };
    const frozen: KeyValue = { key: `frozen_${names.key}`, value: `frozen_${names.value}` };
    const weights = model.stages[lane.stages[0]!]!.weights.blocks[block]!;
    const result = gpt2Block(g, x, weights, heads, width, { mask, split, frozen, growing: names });
    next[names.key] = result.growing.key;
    next[names.value] = result.growing.value;
    x = result.x;
  }
  return x;
}

/** The C most likely tokens of each beam. logits: [b, Q, V] → scores and tokens [b, Q, C] */
function candidates(g: Graph, logits: Value, inputs: CaptionInputs): Candidates {
  const [values, tokens] = g.topK(logits, inputs.candidates);
  const [scores] = g.either(
    inputs.accumulate,
    [['float', 3]],
    branch => [branch.gatherElements(branch.logSoftmax(logits), tokens, 2)],
    () => [values],
  );
  return { scores: scores!, tokens };
}

/** The beams of a lane's i-th stage. [b, Q, C] → [b, K, C] */
function beamsOf(g: Graph, { scores, tokens }: Candidates, i: number, inputs: CaptionInputs): Candidates {
  const from = g.mul(inputs.beams, g.ints([i]));
  const part = (x: Value) => g.slice(x, from, g.add(from, inputs.beams), 1);
  return { scores: part(scores), tokens: part(tokens) };
}

/** S tensors [b, K, C] → [R, K, C] */
function stackStages(g: Graph, values: Value[], inputs: CaptionInputs): Value {
  if (values.length === 1) return values[0]!;
  const stacked = g.concat(
    values.map(value => g.unsqueeze(value, 1)),
    1,
  );
  return g.reshape(stacked, g.concat([g.ints([-1]), inputs.beams, g.size(values[0]!, 2)], 0));
}

/** Embeddings of the chosen tokens of a lane's stages at their positions: [b, Q, C]. tokens: [R, K] */
function nextInput(g: Graph, lane: Lane, model: CaptionModel, inputs: CaptionInputs, tokens: Value): Value {
  const perStage = g.reshape(tokens, g.concat([g.ints([-1, model.stages.length]), inputs.beams], 0)); // [b, S, K]
  const generated = g.size('sequences', 2);
  const rows = lane.stages.map(s => {
    const { weights, prefix } = model.stages[s]!;
    const embedded = g.gather(g.weight(weights.tokenEmbedding), g.gather(perStage, g.int(s), 1), 0); // [b, K, C]
    const first = g.add(g.size(inputs.prompts[s]!, 0), g.ints([model.prefixes[prefix]!.slots]));
    // The last step's next position may lie behind the last there is; nothing comes of it any more.
    const position = g.op('Min', [g.add(generated, first), g.ints([model.sizes.positions - 1])]);
    return g.add(embedded, g.gather(g.weight(weights.positionEmbedding), position, 0));
  });
  return g.concat(rows, 1);
}

/** What each beam sees next: what its parent saw, and its own new slot. parents: [R, K] → [b, Q, slots + Q] */
function nextSeen(g: Graph, lane: Lane, parents: Value, inputs: CaptionInputs, stages: number): Value {
  const seen = `seen_${lane.name}`;
  const perStage = g.reshape(parents, g.concat([g.ints([-1, stages]), inputs.beams], 0)); // [b, S, K]
  const ofLane = g.gather(perStage, g.ints(lane.stages), 1);
  const first = g.mul(g.unsqueeze(g.range(g.ints([lane.stages.length])), 0, 2), inputs.beams); // [1, s, 1]
  const images = g.size(seen, 0);
  const queries = g.mul(inputs.beams, g.ints([lane.stages.length]));
  const within = g.reshape(g.add(ofLane, first), g.concat([g.ints([-1]), queries], 0)); // [b, Q]
  const offset = g.unsqueeze(g.mul(g.range(images), g.squeeze(queries, 0)), 1); // [b, 1]
  const flat = g.reshape(seen, g.concat([g.ints([-1]), g.size(seen, 2)], 0));
  const inherited = g.gather(flat, g.add(within, offset), 0); // [b, Q, slots]
  const own = g.expand(inputs.lanes[lane.name]!.ownSlot!, g.concat([images, g.ints([1, 1])], 0));
  return g.concat([inherited, own], 2);
}
