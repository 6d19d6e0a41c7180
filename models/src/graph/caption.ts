/**
 * Image embeddings in, captions of every stage out: projector, prefill and the whole beam search in one graph.
 *
 * Rows of all stages run through the blocks they share in one batch, so that each shared weight is read once,
 * and split where weights differ. A "lane" is a set of rows with its own keys and values: `trunk` (all stages,
 * shared blocks) and one `branch` per stage behind it.
 *
 * Two nested loops. The inner one takes up to CHUNK steps and appends new keys and values to a small growing
 * pool; the outer one moves that pool behind the frozen one, dropping slots that no running beam descends from.
 * Appending to one large tensor instead would copy it at every step. The first chunk is one step long: the prefill.
 *
 * B images, S stages, K beams, Q = S·K queries a step, R = B·S rows, N maximum new tokens.
 */
import { NO_TOKEN } from './beam.js';
import type { BeamState } from './beam.js';
import { Graph } from './builder.js';
import type { Value } from './builder.js';
import { gpt2Block, normalise } from './gpt2.js';
import type { KeyValue, Residual } from './gpt2.js';
import { linear } from './linear.js';
import { declareInputs } from './inputs.js';
import type { CaptionInputs, StageInputs } from './inputs.js';
import { lanesOf, UNSEEN } from './lanes.js';
import type { CaptionModel, Lane } from './lanes.js';
import type { Candidates } from './processors.js';
import { projector } from './projector.js';
import { searchStep } from './search.js';

/** Steps between two compactions of the pools. */
const CHUNK = 8;
/** Loop-carried values, in order. */
class Carried {
  readonly names: string[] = [];
  readonly types: ('float' | 'int64' | 'bool')[] = [];
  readonly ranks: number[] = [];
  readonly initial: Value[] = [];

  add(name: string, type: 'float' | 'int64' | 'bool', rank: number, initial: Value): void {
    this.names.push(name);
    this.types.push(type);
    this.ranks.push(rank);
    this.initial.push(initial);
  }
}

/**
 * Builds the caption graph.
 * Outputs: `tokens` [B, S, N] int64 (padded with NO_TOKEN), `scores` [B, S] fp32 and `steps` [1] int64.
 */
export function captionGraph(model: CaptionModel): Graph {
  const stages = model.stages.length;
  const g = new Graph('caption');
  const inputs = declareInputs(g, model);
  const { heads, width } = model.sizes;
  const headSize = width / heads;
  const batch = g.size(inputs.embedding, 0); // [1]

  // [prefix ; prompt of stage 0 ; prompt of stage 1 ; …], each prompt at the positions behind the prefix.
  const parts = [projector(g, inputs.embedding, model.projector, model.prefixSlots, width)];
  inputs.stages.forEach((stage, s) => {
    const tokens = g.gather(g.weight(model.stages[s]!.tokenEmbedding), stage.prompt, 0); // [T, C]
    parts.push(g.expand(tokens, g.concat([batch, g.size(tokens, 0), g.ints([width])], 0)));
  });
  const positions = g.gather(g.weight(model.stages[0]!.positionEmbedding), inputs.positions, 0);
  const x = g.add(g.concat(parts, 1), positions); // [B, L0, C]

  const rows = g.mul(batch, g.ints([stages]));
  const perBeam = g.concat([rows, inputs.beams], 0);
  const fill = (extra: Value | null, value: number, type: 'float' | 'int64' | 'bool') =>
    g.filled(extra ? g.concat([perBeam, extra], 0) : perBeam, value, type);

  const lanes = lanesOf(model);
  const state = new Carried();
  state.add('x', 'float', 3, x);
  for (const lane of lanes) {
    const { prefillMask, beamMask } = inputs.lanes[lane.name]!;
    state.add(`mask_${lane.name}`, 'float', 4, g.unsqueeze(prefillMask, 0, 1));
    const shape = g.concat([batch, g.size(beamMask, 0), g.size(beamMask, 1)], 0);
    state.add(`seen_${lane.name}`, 'float', 3, g.expand(beamMask, shape));
  }
  inputs.stages.forEach((stage, s) => {
    state.add(`rows_${s}`, 'int64', 1, stage.promptRows);
    state.add(`last_${s}`, 'int64', 1, stage.lastPrompt);
  });
  state.add('sequences', 'int64', 3, fill(g.ints([0]), 0, 'int64'));
  state.add('runningScores', 'float', 2, g.expand(inputs.startScores, perBeam));
  state.add('finishedSequences', 'int64', 3, fill(inputs.maxNewTokens, NO_TOKEN, 'int64'));
  state.add('finishedScores', 'float', 2, fill(null, -1e9, 'float'));
  state.add('isFinished', 'bool', 2, fill(null, 0, 'bool'));
  state.add('canImprove', 'bool', 2, g.filled(g.concat([rows, g.ints([1])], 0), 1, 'bool'));
  state.add('goOn', 'bool', 0, g.bool(true));

  const noSlots = g.filled(g.concat([batch, g.ints([heads, 0, headSize])], 0), 0, 'float');
  const pools = new Carried();
  for (const lane of lanes)
    for (const block of lane.blocks)
      for (const part of ['key', 'value']) pools.add(`${part}_${lane.name}_${block}`, 'float', 4, noSlots);

  const results = chunkLoop(g, model, inputs, lanes, state, pools);

  const output = (name: string) => results[state.names.indexOf(name)]!;
  const perStage = g.concat([batch, g.ints([stages]), inputs.beams], 0);
  const best = (value: Value, shape: Value) => g.gather(g.reshape(value, shape), g.int(0), 2);
  g.output(
    best(output('finishedSequences'), g.concat([perStage, inputs.maxNewTokens], 0)),
    'int64',
    ['B', stages, null],
    'tokens',
  );
  g.output(best(output('finishedScores'), perStage), 'float', ['B', stages], 'scores');
  g.output(g.size(output('sequences'), 2), 'int64', [1], 'steps');
  return g;
}

/** The outer loop: run a chunk of steps, then freeze what it appended. Returns the final state. */
function chunkLoop(
  g: Graph,
  model: CaptionModel,
  inputs: CaptionInputs,
  lanes: Lane[],
  state: Carried,
  pools: Carried,
): Value[] {
  const { heads, width } = model.sizes;
  const body = g.child('chunk');
  body.input(body.fresh('iteration'), 'int64', []);
  const condition = body.input(body.fresh('condition'), 'bool', []);
  const trip = body.input('trip', 'int64', []);
  const open = (carried: Carried, i: number) => Array<null>(carried.ranks[i]!).fill(null);
  const declare = (graph: Graph, carried: Carried, prefix: string) =>
    carried.names.map((name, i) => graph.input(`${prefix}${name}`, carried.types[i]!, open(carried, i)));
  const stateIn = declare(body, state, 'chunk_');
  declare(body, pools, 'frozen_');

  const images = body.size('chunk_x', 0);
  const empty = body.filled(body.concat([images, body.ints([heads, 0, width / heads])], 0), 0, 'float');
  const step = stepBody(body, model, inputs, lanes, state, pools, open);
  const names = [...state.names, ...pools.names];
  const stepped = names.map(name => body.fresh(name));
  body.node('Loop', [trip, condition, ...stateIn, ...pools.names.map(() => empty)], stepped, {
    body: { g: step.toProto() },
  });
  const after = Object.fromEntries(names.map((name, i) => [name, stepped[i]!]));

  for (const lane of lanes) {
    const keep = livingSlots(body, after[`seen_${lane.name}`]!, inputs, lane, heads);
    after[`seen_${lane.name}`] = keep.seen;
    after[`mask_${lane.name}`] = body.unsqueeze(keep.seen, 1);
    for (const block of lane.blocks)
      for (const part of ['key', 'value']) {
        const name = `${part}_${lane.name}_${block}`;
        const all = body.concat([`frozen_${name}`, after[name]!], 2); // [B, H, slots, d]
        after[name] = body.gather(body.reshape(all, [-1, width / heads]), keep.slots, 0);
      }
  }

  body.output(after['goOn']!, 'bool', [], body.fresh('condition'));
  body.output(body.int(CHUNK), 'int64', [], body.fresh('trip'));
  state.names.forEach((name, i) =>
    body.output(after[name]!, state.types[i]!, open(state, i), body.fresh(name)),
  );
  pools.names.forEach((name, i) => body.output(after[name]!, 'float', open(pools, i), body.fresh(name)));

  const results = ['trip', ...names].map(name => g.fresh(name));
  const initial = [g.int(1), ...state.initial, ...pools.initial];
  g.node('Loop', [g.squeeze(inputs.maxNewTokens, 0), g.bool(true), ...initial], results, {
    body: { g: body.toProto() },
  });
  return results.slice(1);
}

/**
 * Which slots of a lane some running beam still sees. Each image keeps as many as the image with the most.
 * @returns `slots` [B, H, kept]: rows of the pools as [B·H·slots, d]; `seen`: the beams' masks over what is kept
 */
function livingSlots(
  g: Graph,
  seen: Value, // [B, beams of the lane, slots + own new ones]
  inputs: CaptionInputs,
  lane: Lane,
  heads: number,
): { slots: Value; seen: Value } {
  const queries = g.mul(inputs.beams, g.ints([lane.stages.length]));
  const total = g.sub(g.size(seen, 2), queries); // the last columns are the next step's own slots
  const images = g.size(seen, 0);
  const past = g.slice(seen, g.ints([0]), total, 2);
  const isSeen = g.op('Greater', [g.reduce('Max', past, 1), g.float(UNSEEN / 2)]); // [B, slots]
  const alive = g.cast(isSeen, 'float');
  const most = g.cast(g.op('ReduceMax', [g.reduce('Sum', alive, 1)], { keepdims: { i: 0 } }), 'int64');
  const [, kept] = g.topK(alive, g.reshape(most, [1])); // [B, kept]
  const perQuery = g.expand(g.unsqueeze(kept, 1), g.concat([images, queries, g.ints([1])], 0));
  const own = g.slice(seen, total, g.add(total, queries), 2);
  const headRows = g.reshape(g.mul(g.range(g.mul(images, g.ints([heads]))), total), [-1, heads, 1]); // first row of each (image, head)
  return {
    slots: g.add(headRows, g.unsqueeze(kept, 1)),
    seen: g.concat([g.gatherElements(seen, perQuery, 2), own], 2),
  };
}

/** The inner loop's body: every block over the new positions, then one step of beam search. */
function stepBody(
  outer: Graph,
  model: CaptionModel,
  inputs: CaptionInputs,
  lanes: Lane[],
  state: Carried,
  pools: Carried,
  open: (carried: Carried, i: number) => null[],
): Graph {
  const g = outer.child('step');
  const { sizes } = model;
  g.input(g.fresh('iteration'), 'int64', []);
  g.input(g.fresh('condition'), 'bool', []);
  for (const carried of [state, pools])
    carried.names.forEach((name, i) => g.input(name, carried.types[i]!, open(carried, i)));
  const next: Record<string, Value> = {};

  const runLane = (x: Residual, lane: Lane): Residual => {
    const mask = `mask_${lane.name}`;
    const frozenSlots = g.size(`frozen_key_${lane.name}_${lane.blocks[0]}`, 2);
    const split = g.concat([frozenSlots, g.sub(g.size(mask, 3), frozenSlots)], 0);
    const pool = (where: string, block: number): KeyValue => ({
      key: `${where}key_${lane.name}_${block}`,
      value: `${where}value_${lane.name}_${block}`,
    });
    for (const block of lane.blocks) {
      const result = gpt2Block(
        g,
        x,
        model.stages[lane.stages[0]!]!.blocks[block]!,
        sizes.heads,
        sizes.width,
        {
          mask,
          split,
          frozen: pool('frozen_', block),
          growing: pool('', block),
        },
      );
      next[pool('', block).key] = result.growing.key;
      next[pool('', block).value] = result.growing.value;
      x = result.x;
    }
    return x;
  };

  let trunk: Residual = { stream: 'x' };
  if (model.sharedBlocks > 0) trunk = runLane(trunk, lanes[0]!);
  const perStage = model.stages.map((weights, s): Candidates => {
    const pick = (x: Residual, rows: Value): Residual => {
      const stream = g.gather(x.stream, rows, 1);
      return x.pending
        ? { stream, pending: { ...x.pending, value: g.gather(x.pending.value, rows, 1) } }
        : { stream };
    };
    let own = model.stages.length > 1 ? pick(trunk, `rows_${s}`) : trunk;
    const branch = lanes.find(lane => lane.name === `branch${s}`);
    if (branch) own = runLane(own, branch);
    const { normed } = normalise(g, pick(own, `last_${s}`), weights.finalNorm); // [B, K, C]
    return candidates(g, linear(g, normed, weights.head), inputs); // logits [B, K, V]
  });
  const stacked: Candidates = {
    scores: stackStages(
      g,
      perStage.map(c => c.scores),
      inputs,
    ),
    tokens: stackStages(
      g,
      perStage.map(c => c.tokens),
      inputs,
    ),
  };

  const carried = Object.fromEntries(state.names.map(name => [name, name])) as unknown as BeamState;
  const beam = searchStep(g, stacked, carried, inputs);
  Object.assign(next, beam.next);

  next['x'] = nextInput(g, model, inputs, beam.tokens);
  for (const lane of lanes) {
    const seen = nextSeen(g, lane, beam.parents, inputs, model.stages.length);
    next[`seen_${lane.name}`] = seen;
    next[`mask_${lane.name}`] = g.unsqueeze(seen, 1);
  }
  inputs.stages.forEach((stage: StageInputs, s) => {
    next[`rows_${s}`] = stage.stepRows;
    next[`last_${s}`] = g.range(inputs.beams);
  });

  g.output(beam.next.goOn, 'bool', [], g.fresh('condition'));
  for (const group of [state, pools])
    group.names.forEach((name, i) => g.output(next[name]!, group.types[i]!, open(group, i), g.fresh(name)));
  return g;
}

/** The C most likely tokens of each beam. logits: [B, K, V] → scores and tokens [B, K, C] */
function candidates(g: Graph, logits: Value, inputs: CaptionInputs): Candidates {
  const [values, tokens] = g.topK(logits, inputs.candidates);
  const logSum = g.reduce('LogSumExp', logits, 2, true); // [B, K, 1]
  const normaliser = g.op('Where', [inputs.accumulate, logSum, g.float(0)]);
  return { scores: g.sub(values, normaliser), tokens };
}

/** S tensors [B, K, C] → [B·S, K, C] */
function stackStages(g: Graph, values: Value[], inputs: CaptionInputs): Value {
  if (values.length === 1) return values[0]!;
  const stacked = g.concat(
    values.map(value => g.unsqueeze(value, 1)),
    1,
  );
  return g.reshape(stacked, g.concat([g.ints([-1]), inputs.beams, g.size(values[0]!, 2)], 0));
}

/** Embeddings of the chosen tokens at their positions: [B, Q, C]. tokens: [R, K] */
function nextInput(g: Graph, model: CaptionModel, inputs: CaptionInputs, tokens: Value): Value {
  const stages = model.stages.length;
  const perStage = g.reshape(tokens, g.concat([g.ints([-1, stages]), inputs.beams], 0)); // [B, S, K]
  const generated = g.size('sequences', 2);
  const rows = model.stages.map((weights, s) => {
    const embedded = g.gather(g.weight(weights.tokenEmbedding), g.gather(perStage, g.int(s), 1), 0); // [B, K, C]
    // The last step's next position may lie behind the last there is; nothing comes of it any more.
    const behind = g.add(generated, inputs.stages[s]!.firstPosition);
    const position = g.op('Min', [behind, g.ints([model.sizes.positions - 1])]);
    return g.add(embedded, g.gather(g.weight(weights.positionEmbedding), position, 0));
  });
  return g.concat(rows, 1);
}

/** What each beam sees next: what its parent saw, and its own new slot. parents: [R, K] → [B, beams, slots + beams] */
function nextSeen(g: Graph, lane: Lane, parents: Value, inputs: CaptionInputs, stages: number): Value {
  const seen = `seen_${lane.name}`;
  const perStage = g.reshape(parents, g.concat([g.ints([-1, stages]), inputs.beams], 0)); // [B, S, K]
  const ofLane = lane.stages.length === stages ? perStage : g.gather(perStage, g.ints(lane.stages), 1);
  const first = g.mul(g.unsqueeze(g.range(g.ints([lane.stages.length])), 0, 2), inputs.beams); // [1, s, 1]
  const images = g.size(seen, 0);
  const queries = g.mul(inputs.beams, g.ints([lane.stages.length]));
  const within = g.reshape(g.add(ofLane, first), g.concat([g.ints([-1]), queries], 0)); // [B, beams]
  const offset = g.unsqueeze(g.mul(g.range(images), g.squeeze(queries, 0)), 1); // [B, 1]
  const flat = g.reshape(seen, g.concat([g.ints([-1]), g.size(seen, 2)], 0));
  const inherited = g.gather(flat, g.add(within, offset), 0); // [B, beams, slots]
  const own = g.expand(inputs.lanes[lane.name]!.ownSlot, g.concat([images, g.ints([1, 1])], 0));
  return g.concat([inherited, own], 2);
}
