/**
 * Weights of a model's parts made ready for a graph: fp32 in place, or int8 twins of the large matrices.
 */
import { eachSource, mapSources, sourceShape } from '../architecture/source.js';
import type { SourcesOf, WeightSource } from '../architecture/source.js';
import { elementCount } from '../checkpoint/tensor.js';
import type { CacheUse } from './cacheUse.js';
import { exactInt8Type } from './int8.js';
import { materialiser } from './materialise.js';
import { int8Matrix } from './quantise.js';
import type { Layout } from './quantise.js';

export type Precision = 'exact' | 'fast';

export type Part = 'vision' | 'projector' | 'gpt2';

/** Which weights of a part are matrices of its large products, and which way round they lie. */
const MATRICES: Record<Part, (path: string) => Layout | null> = {
  vision: path =>
    /^blocks\.\d+\.(attention\.(qkv|query|key|value|out)|mlp\.(up|down))\.weight$/.test(path)
      ? 'out-in'
      : null,
  projector: path => (/(^|\.)(fc1|fc2|up|down|linear)\.weight$/.test(path) ? 'out-in' : null),
  gpt2: path =>
    /^(blocks\.\d+\.)?(attention\.(qkv|out)|mlp\.(up|down))\.weight$/.test(path)
      ? 'in-out'
      : path === 'head'
        ? 'out-in'
        : null,
};

/** Loads a part, or a piece of one, with every weight as its graph wants it. */
export type Load = <T>(sources: SourcesOf<T>, part: Part, path?: string) => Promise<T>;

/** @param onProgress told in words how far quantising is, where there is anything to quantise */
export function loader(precision: Precision, cache: CacheUse, onProgress: (phase: string) => void): Load {
  const materialise = materialiser(cache);
  const twins = new Map<string, ReturnType<typeof int8Matrix>>();
  return async <T>(sources: SourcesOf<T>, part: Part, at = ''): Promise<T> => {
    const layoutOf = (path: string) => (precision === 'fast' ? MATRICES[part](path) : null);
    const total = [...eachSource(sources, at)].reduce(
      (sum, [path, source]) => sum + (layoutOf(path) ? elementCount(sourceShape(source)) : 0),
      0,
    );
    let done = 0;
    const replace = async (source: WeightSource, path: string) => {
      const layout = layoutOf(path);
      if (layout === null) return materialise(source);
      const key = JSON.stringify([source, layout]);
      const twin =
        twins.get(key) ??
        int8Matrix(source, layout, await exactInt8Type(), cache, () =>
          onProgress(`Quantising ${NAMES[part]}: ${Math.round((100 * done) / total)} %`),
        );
      twins.set(key, twin);
      await twin;
      done += elementCount(sourceShape(source));
      return twin;
    };
    return (await mapSources(sources, replace, at)) as T;
  };
}

const NAMES: Record<Part, string> = {
  vision: 'the vision tower',
  projector: 'the projector',
  gpt2: 'the language model',
};
