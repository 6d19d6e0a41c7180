import type { TensorView } from '../checkpoint/tensor.js';
import type { Linear, Matrix } from '../graph/weights.js';

/**
 * Where a weight of the model comes from: a stored tensor as it is, or a linear layer with its LoRA update
 * (`weight = base + scale · (B A)ᵀ`, base [in, out], a [r, in], b [out, r]).
 */
export type WeightSource =
  | { kind: 'stored'; view: TensorView }
  | { kind: 'lora'; base: TensorView; a: TensorView; b: TensorView; scale: number };

/** A structure of the graph's weights with their sources in their place; what is no weight (kinds, null) stays. */
export type SourcesOf<T> = T extends Matrix
  ? WeightSource
  : T extends readonly (infer Item)[]
    ? SourcesOf<Item>[]
    : { [K in keyof T]: SourcesOf<T[K]> };

/** A linear layer or a layer norm: what it multiplies by, and what it adds. */
export type SourceLinear = SourcesOf<Linear>;

export function stored(view: TensorView): WeightSource {
  return { kind: 'stored', view };
}

export function sourceShape(source: WeightSource): readonly number[] {
  return source.kind === 'stored' ? source.view.shape : source.base.shape;
}

/** The stored tensors a source is made of. */
export function sourceViews(source: WeightSource): TensorView[] {
  return source.kind === 'stored' ? [source.view] : [source.base, source.a, source.b];
}

/** A structure of sources with the same structure of something else in their place. */
export type Mapped<T, To> = T extends WeightSource
  ? To
  : T extends readonly (infer Item)[]
    ? Mapped<Item, To>[]
    : { [K in keyof T]: Mapped<T[K], To> };

/** Every source of a structure, with its path ("blocks.3.mlp.up.weight"), in order. */
export function* eachSource(structure: unknown, path = ''): Generator<[string, WeightSource]> {
  if (isSource(structure)) yield [path, structure];
  else if (isStructure(structure))
    for (const [key, value] of Object.entries(structure)) yield* eachSource(value, join(path, key));
}

function join(path: string, key: string | number): string {
  return path ? `${path}.${key}` : String(key);
}

/** Replaces every source of a structure; `replace` is told its path too ("blocks.3.mlp.up.weight"). */
export async function mapSources<T, To>(
  structure: T,
  replace: (source: WeightSource, path: string) => Promise<To>,
  path = '',
): Promise<Mapped<T, To>> {
  if (isSource(structure)) return (await replace(structure, path)) as Mapped<T, To>;
  if (!isStructure(structure)) return structure as Mapped<T, To>;
  if (Array.isArray(structure)) {
    const items = [];
    for (const [i, item] of structure.entries()) items.push(await mapSources(item, replace, join(path, i)));
    return items as Mapped<T, To>;
  }
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(structure))
    result[key] = await mapSources(value, replace, join(path, key));
  return result as Mapped<T, To>;
}

function isStructure(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isSource(value: unknown): value is WeightSource {
  const kind = (value as { kind?: unknown } | null)?.kind;
  return kind === 'stored' || kind === 'lora';
}
