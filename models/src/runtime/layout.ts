/**
 * Where everything stands in a prefill of `[prefix … ; prompt of stage 0 ; prompt of stage 1 ; …]`, as inputs of the
 * caption graph: which rows each lane takes, and which positions may see which.
 */
import type { Tensor } from 'onnxruntime-node';
import { lanesOf, startsOf, takesAll, UNSEEN } from '../graph/lanes.js';
import type { CaptionModel, Lane } from '../graph/lanes.js';
import { float32, int64 } from './tensors.js';

/** One position of the prefill: where it stands, and which stages it is part of. */
interface Row {
  position: number;
  owners: readonly number[];
}

/**
 * @param prompts token ids per stage
 * @returns prompts, row numbers and masks (see `graph/inputs.ts`)
 */
export function layoutFeeds(
  model: CaptionModel,
  prompts: readonly (readonly number[])[],
  beams: number,
): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  prompts.forEach((prompt, s) => (feeds[`prompt_${s}`] = int64(prompt)));
  const lanes = lanesOf(model);
  const rowsOf = new Map<string, Row[]>();
  for (const lane of lanes) {
    const before = lanes.filter(({ name }) => lane.from.includes(name));
    const offered = before.flatMap(({ name }) => rowsOf.get(name)!);
    const queries = lane.stages.flatMap(s => Array<number>(beams).fill(s));
    if (lane.from.length > 0 && !takesAll(lane, lanes)) {
      const offeredQueries = before.flatMap(({ stages }) =>
        stages.flatMap(s => Array<number>(beams).fill(s)),
      );
      const picked =
        lane.blocks.length > 0
          ? indices(offered, ({ owners }) => lane.stages.some(s => owners.includes(s)))
          : queries.map(s => lastRow(offered, s));
      feeds[`prefillRows_${lane.name}`] = int64(picked);
      feeds[`stepRows_${lane.name}`] = int64(indices(offeredQueries, s => lane.stages.includes(s)));
    }
    if (lane.blocks.length === 0) continue;
    const rows = lane.from.length > 0 ? narrowed(offered, lane) : firstRows(model, prompts, lane);
    rowsOf.set(lane.name, rows);
    feeds[`prefillMask_${lane.name}`] = mask(
      rows,
      rows,
      (from, to) => to.position <= from.position && from.owners.every(s => to.owners.includes(s)),
    );
    feeds[`beamMask_${lane.name}`] = mask(queries, rows, (s, row) => row.owners.includes(s));
    const places = queries.map((_, i) => i);
    feeds[`ownSlot_${lane.name}`] = mask(places, places, (i, j) => i === j).reshape([
      1,
      queries.length,
      queries.length,
    ]) as Tensor;
  }
  return feeds;
}

/** A lane's rows where it begins with the embeddings: its distinct prefixes, then its stages' prompts. */
function firstRows(model: CaptionModel, prompts: readonly (readonly number[])[], lane: Lane): Row[] {
  const slotsOf = (s: number) => model.prefixes[model.stages[s]!.prefix]!.slots;
  const starts = startsOf(model, lane);
  return [
    ...starts.flatMap(first => {
      const owners = lane.stages.filter(s => model.equalStart[s] === first);
      return Array.from({ length: slotsOf(first) }, (_, position) => ({ position, owners }));
    }),
    ...lane.stages.flatMap(s => prompts[s]!.map((_, i) => ({ position: slotsOf(s) + i, owners: [s] }))),
  ];
}

function narrowed(rows: readonly Row[], { stages }: Lane): Row[] {
  return rows
    .map(({ position, owners }) => ({ position, owners: owners.filter(s => stages.includes(s)) }))
    .filter(({ owners }) => owners.length > 0);
}

function lastRow(rows: readonly Row[], stage: number): number {
  const own = indices(rows, ({ owners }) => owners.includes(stage));
  return own.reduce((last, row) => (rows[row]!.position > rows[last]!.position ? row : last));
}

function indices<T>(items: readonly T[], isChosen: (item: T) => boolean): number[] {
  return items.flatMap((item, i) => (isChosen(item) ? [i] : []));
}

function mask<From, To>(
  from: readonly From[],
  to: readonly To[],
  sees: (from: From, to: To) => boolean,
): Tensor {
  const values = from.flatMap(a => to.map(b => (sees(a, b) ? 0 : UNSEEN)));
  return float32(values, [from.length, to.length]);
}
