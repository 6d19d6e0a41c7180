/**
 * Image features in, captions of every stage out: projectors, prefill and the whole search in one graph.
 *
 * Rows of all stages run through the weights they share in one batch, so that each shared weight is read once, and
 * part where weights differ (`lanes.ts`).
 *
 * Two nested loops. The inner one takes up to CHUNK steps and appends new keys and values to a small growing pool;
 * the outer one moves that pool behind the frozen one, dropping slots that no running beam descends from and images
 * that are done. Appending to one large tensor instead would copy it at every step. The first chunk is one step long:
 * the prefill.
 *
 * B images, b of them still decoding, S stages, K beams, R rows = b·S, N maximum new tokens.
 */
import { NO_TOKEN } from './beam.js';
import { Graph } from './builder.js';
import type { Value } from './builder.js';
import { Carried } from './carried.js';
import { unitLength } from './encoder.js';
import { declareInputs } from './inputs.js';
import type { CaptionInputs } from './inputs.js';
import { lanesOf, startsOf, UNSEEN } from './lanes.js';
import type { CaptionModel, Lane } from './lanes.js';
import { projector } from './projector.js';
import { poolName, stepBody } from './step.js';
import type { StepContext } from './step.js';

/** Steps between two compactions of the pools. */
const CHUNK = 8;

/**
 * Builds the caption graph.
 * Outputs: `tokens` [B, S, N] int64 (padded with NO_TOKEN), `scores` [B, S] fp32 and `steps` [1] int64.
 */
export function captionGraph(model: CaptionModel): Graph {
  const stages = model.stages.length;
  const g = new Graph('caption');
  const inputs = declareInputs(g, model);
  const lanes = lanesOf(model);
  const batch = g.size([...inputs.features.values()][0]!, 0); // [1]

  const state = new Carried();
  const starts = firstInputs(g, model, inputs, lanes, batch);
  for (const lane of lanes) {
    const { prefillRows, prefillMask, beamMask } = inputs.lanes[lane.name]!;
    if (lane.from.length === 0) state.add(`x_${lane.name}`, 'float', 3, starts.get(lane.name)!);
    if (prefillRows) state.add(`rows_${lane.name}`, 'int64', 1, prefillRows);
    if (!prefillMask || !beamMask) continue;
    state.add(`mask_${lane.name}`, 'float', 4, g.unsqueeze(behindUnseenSlot(g, prefillMask), 0, 1));
    const seen = behindUnseenSlot(g, beamMask);
    const shape = g.concat([batch, g.size(seen, 0), g.size(seen, 1)], 0);
    state.add(`seen_${lane.name}`, 'float', 3, g.expand(seen, shape));
  }
  const rows = g.mul(batch, g.ints([stages]));
  const perBeam = g.concat([rows, inputs.beams], 0);
  const fill = (extra: Value | null, value: number, type: 'float' | 'int64' | 'bool') =>
    g.filled(extra ? g.concat([perBeam, extra], 0) : perBeam, value, type);
  const { heads, width } = model.sizes;
  state.add('rows', 'int64', 1, g.range(rows));
  state.add('sequences', 'int64', 3, fill(g.ints([0]), 0, 'int64'));
  state.add('runningScores', 'float', 2, g.expand(inputs.startScores, perBeam));
  state.add('finishedSequences', 'int64', 3, fill(inputs.maxNewTokens, NO_TOKEN, 'int64'));
  state.add('finishedScores', 'float', 2, fill(null, -1e9, 'float'));
  state.add('isFinished', 'bool', 2, fill(null, 0, 'bool'));
  state.add('canImprove', 'bool', 2, g.filled(g.concat([rows, g.ints([1])], 0), 1, 'bool'));
  state.add('goOn', 'bool', 0, g.bool(true));

  // One slot that nobody sees, gone after the prefill: a product over no slots ends the process on WebGPU (decision 010).
  const noSlots = g.filled(g.concat([batch, g.ints([heads, 1, width / heads])], 0), 0, 'float');
  const pools = new Carried();
  for (const lane of lanes)
    for (const block of lane.blocks)
      for (const part of ['key', 'value'] as const)
        pools.add(poolName(part, lane, block), 'float', 4, noSlots);

  const results = new Carried();
  const perRow = g.concat([rows, inputs.maxNewTokens], 0);
  results.add('tokens', 'int64', 2, g.filled(perRow, 0, 'int64'));
  results.add('scores', 'float', 1, g.filled(rows, 0, 'float'));

  const after = chunkLoop(g, { model, inputs, lanes, state, pools }, results);
  const perImage = g.concat([g.ints([-1, stages]), inputs.maxNewTokens], 0);
  g.output(g.reshape(after['tokens']!, perImage), 'int64', ['B', stages, null], 'tokens');
  g.output(g.reshape(after['scores']!, [-1, stages]), 'float', ['B', stages], 'scores');
  g.output(g.size(after['sequences']!, 2), 'int64', [1], 'steps');
  return g;
}

/** A mask [n, slots] with a first column for a slot that may not be seen: [n, 1 + slots] */
function behindUnseenSlot(g: Graph, mask: Value): Value {
  const column = g.filled(g.concat([g.size(mask, 0), g.ints([1])], 0), UNSEEN, 'float');
  return g.concat([column, mask], 1);
}

/** What the first lanes begin with: their distinct prefixes, then their stages' prompts. Lane → [B, L, C] */
function firstInputs(
  g: Graph,
  model: CaptionModel,
  inputs: CaptionInputs,
  lanes: readonly Lane[],
  batch: Value,
): Map<string, Value> {
  const { width } = model.sizes;
  const prefixes = model.prefixes.map(({ tower, input, projector: weights, slots }) => {
    const features = inputs.features.get(tower)!; // [B, D]
    const embedding = input === 'features' ? features : unitLength(g, features);
    return projector(g, embedding, weights, slots, width); // [B, slots, C]
  });
  const positions = (stage: number, from: number, count: Value) =>
    g.slice(g.weight(model.stages[stage]!.weights.positionEmbedding), from, g.add(count, g.ints([from])), 0);
  const firstLanes = lanes.filter(({ from }) => from.length === 0);
  return new Map(
    firstLanes.map(lane => {
      const parts = startsOf(model, lane).map(stage => {
        const { prefix } = model.stages[stage]!;
        return g.add(prefixes[prefix]!, positions(stage, 0, g.ints([model.prefixes[prefix]!.slots])));
      });
      for (const stage of lane.stages) {
        const { weights, prefix } = model.stages[stage]!;
        const prompt = inputs.prompts[stage]!;
        const tokens = g.gather(g.weight(weights.tokenEmbedding), prompt, 0); // [T, C]
        const placed = g.add(tokens, positions(stage, model.prefixes[prefix]!.slots, g.size(prompt, 0)));
        parts.push(g.expand(placed, g.concat([batch, g.size(prompt, 0), g.ints([width])], 0)));
      }
      return [lane.name, g.concat(parts, 1)];
    }),
  );
}

/**
 * The outer loop: run a chunk of steps, write the best captions down, drop images that are done, freeze what the
 * chunk appended.
 * @returns the carried values behind it, by name
 */
function chunkLoop(g: Graph, context: StepContext, results: Carried): Record<string, Value> {
  const { model, inputs, lanes, state, pools } = context;
  const headSize = model.sizes.width / model.sizes.heads;
  const body = g.child('chunk');
  body.input(body.fresh('iteration'), 'int64', []);
  const condition = body.input(body.fresh('condition'), 'bool', []);
  const trip = body.input('trip', 'int64', []);
  const stateIn = state.declare(body, 'chunk_');
  pools.declare(body, 'frozen_');
  results.declare(body, 'kept_');

  const images = body.size(`chunk_seen_${lanes[0]!.name}`, 0);
  const empty = body.filled(
    body.concat([images, body.ints([model.sizes.heads, 0, headSize])], 0),
    0,
    'float',
  );
  const step = stepBody(body, context);
  const names = [...state.names, ...pools.names];
  const stepped = names.map(name => body.fresh(name));
  body.node('Loop', [trip, condition, ...stateIn, ...pools.names.map(() => empty)], stepped, {
    body: { g: step.toProto() },
  });
  const after = Object.fromEntries(names.map((name, i) => [name, stepped[i]!]));

  const written = writeBest(body, after);
  const kept = keptImages(body, after, inputs, model.stages.length);
  after['goOn'] = kept.goOn;
  for (const name of ROW_STATE) after[name] = body.gather(after[name]!, kept.rows, 0);
  for (const lane of lanes) {
    if (lane.blocks.length === 0) continue;
    if (lane.from.length === 0)
      after[`x_${lane.name}`] = body.gather(after[`x_${lane.name}`]!, kept.images, 0);
    const living = livingSlots(
      body,
      after[`seen_${lane.name}`]!,
      kept.images,
      inputs,
      lane,
      model.sizes.heads,
    );
    after[`seen_${lane.name}`] = living.seen;
    after[`mask_${lane.name}`] = body.unsqueeze(living.seen, 1);
    for (const block of lane.blocks)
      for (const part of ['key', 'value'] as const) {
        const name = poolName(part, lane, block);
        const all = body.concat([`frozen_${name}`, after[name]!], 2); // [b, H, slots, d]
        after[name] = body.gather(body.reshape(all, [-1, headSize]), living.slots, 0);
      }
  }

  body.output(after['goOn']!, 'bool', [], body.fresh('condition'));
  body.output(body.int(CHUNK), 'int64', [], body.fresh('trip'));
  state.output(body, after);
  pools.output(body, after);
  results.output(body, written);

  const all = ['trip', ...names, ...results.names];
  const outputs = all.map(name => g.fresh(name));
  const initial = [g.int(1), ...state.initial, ...pools.initial, ...results.initial];
  g.node('Loop', [g.squeeze(inputs.maxNewTokens, 0), g.bool(true), ...initial], outputs, {
    body: { g: body.toProto() },
  });
  return Object.fromEntries(all.map((name, i) => [name, outputs[i]!]));
}

/** State with one entry a row. */
const ROW_STATE = [
  'rows',
  'sequences',
  'runningScores',
  'finishedSequences',
  'finishedScores',
  'isFinished',
  'canImprove',
] as const;

/** The best finished beam of each row, at the row's place among the results. */
function writeBest(g: Graph, after: Readonly<Record<string, Value>>): { tokens: Value; scores: Value } {
  const places = g.unsqueeze(after['rows']!, 1); // [R, 1]
  const best = (value: Value) => g.gather(value, g.int(0), 1);
  return {
    tokens: g.op('ScatterND', ['kept_tokens', places, best(after['finishedSequences']!)]),
    scores: g.op('ScatterND', ['kept_scores', places, best(after['finishedScores']!)]),
  };
}

/**
 * Which images go on: those with a row whose finished beams can still change. What is done stays as it is in every
 * further step, so leaving it out changes nothing.
 * @returns their places among the b images, their rows' among the R rows, and whether there is anything left to do
 */
function keptImages(
  g: Graph,
  after: Readonly<Record<string, Value>>,
  inputs: CaptionInputs,
  stages: number,
): { goOn: Value; images: Value; rows: Value } {
  const full = g.cast(g.reduce('Min', g.cast(after['isFinished']!, 'int64'), 1, true), 'bool'); // [R, 1]
  const isDone = g.op('Or', [g.op('Not', [after['canImprove']!]), g.op('And', [full, inputs.earlyStopping])]);
  const isLive = g.cast(g.reshape(g.op('Not', [isDone]), [-1, stages]), 'int64'); // [b, S]
  const live = g.reduce('Max', isLive, 1); // [b]
  const anyLive = g.cast(g.op('ReduceMax', [live], { keepdims: { i: 0 } }), 'bool');
  const goOn = g.op('And', [after['goOn']!, anyLive]);
  // At the end none may be left; the state is of no use then, but its shapes must be.
  const ends = g.cast(g.op('Not', [goOn]), 'int64');
  const images = g.squeeze(g.op('NonZero', [g.add(live, ends)]), 0); // [n]
  const first = g.unsqueeze(g.mul(images, g.int(stages)), 1); // [n, 1]
  return { goOn, images, rows: g.reshape(g.add(first, g.range(g.ints([stages]))), [-1]) };
}

/**
 * Which slots of a lane some running beam still sees. Each image keeps as many as the image with the most.
 * @returns `slots` [n, H, kept]: rows of the pools as [b·H·slots, d]; `seen` [n, Q, kept + Q]: the beams' masks over
 *   what is kept
 */
function livingSlots(
  g: Graph,
  allSeen: Value, // [b, Q, slots + own new ones]
  images: Value, // [n]
  inputs: CaptionInputs,
  lane: Lane,
  heads: number,
): { slots: Value; seen: Value } {
  const queries = g.mul(inputs.beams, g.ints([lane.stages.length]));
  const seen = g.gather(allSeen, images, 0);
  const total = g.sub(g.size(seen, 2), queries); // the last columns are the next step's own slots
  const past = g.slice(seen, g.ints([0]), total, 2);
  const isSeen = g.op('Greater', [g.reduce('Max', past, 1), g.float(UNSEEN / 2)]); // [n, slots]
  const alive = g.cast(isSeen, 'float');
  const most = g.cast(g.op('ReduceMax', [g.reduce('Sum', alive, 1)], { keepdims: { i: 0 } }), 'int64');
  const [, kept] = g.topK(alive, g.reshape(most, [1])); // [n, kept]
  const perQuery = g.expand(g.unsqueeze(kept, 1), g.concat([g.size(images, 0), queries, g.ints([1])], 0));
  const own = g.slice(seen, total, g.add(total, queries), 2);
  const firstHead = g.unsqueeze(g.mul(images, g.int(heads)), 1); // [n, 1]
  const headRows = g.mul(g.add(firstHead, g.range(g.ints([heads]))), total); // [n, H]: first row of each
  return {
    slots: g.add(g.unsqueeze(headRows, 2), g.unsqueeze(kept, 1)),
    seen: g.concat([g.gatherElements(seen, perQuery, 2), own], 2),
  };
}
