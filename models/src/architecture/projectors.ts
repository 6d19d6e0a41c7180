/**
 * Which projector a captioner has: this family's or one of ClipCap's, under whatever name the training code gave it.
 * Sizes come from shapes.
 */
import type { Linear, MapperBlock, ProjectorWeights } from '../graph/weights.js';
import type { KeyLedger } from './keys.js';
import { stored } from './source.js';
import type { SourceLinear, SourcesOf } from './source.js';
import type { StateDict } from './stateDict.js';
import { countBlocks } from './vitArchitecture.js';

export interface ProjectorArchitecture {
  kind: ProjectorWeights['kind'];
  /** Its name in the state dict: `prefix`, `clip_project`, … */
  name: string;
  /** Which output of the vision tower it takes: of unit length, or as the tower gives it (ClipCap's default). */
  input: 'embedding' | 'features';
  /** Width of the image embedding. */
  embedding: number;
  /** Width between its two layers; null where it has none. */
  hidden: number | null;
  /** Blocks of a transformer; 0 otherwise. */
  layers: number;
  /** Prefix slots given to the language model. */
  slots: number;
}

/** What tells each projector, by the end of a key. */
const MARKS: readonly [string, ProjectorWeights['kind']][] = [
  ['.prefix_const', 'clipcap-transformer'],
  ['.model.0.weight', 'clipcap-mlp'],
  ['.alpha', 'prefix'],
  ['.fc2.weight', 'prefix'],
];

/**
 * @param prefix of the language model's keys, which are left aside
 * @param width of the language model
 */
export function projectorArchitecture(
  keys: KeyLedger,
  prefix: string,
  width: number,
): { architecture: ProjectorArchitecture; sources: SourcesOf<ProjectorWeights> } {
  const { kind, name } = recogniseProjector(keys.tensors, prefix);
  const linear = (key: string, outputs: number, inputs: number): SourceLinear => ({
    weight: stored(keys.take(`${name}${key}.weight`, [outputs, inputs])),
    bias: stored(keys.take(`${name}${key}.bias`, [outputs])),
  });
  const norm = (key: string): SourceLinear => ({
    weight: stored(keys.take(`${name}${key}.weight`, [width])),
    bias: stored(keys.take(`${name}${key}.bias`, [width])),
  });
  const shapeOf = (key: string) => (keys.peek(`${name}${key}`)?.shape ?? [0, 0]) as [number, number];
  const slotsOf = (rows: number) => Math.ceil(rows / (width || 1));
  const of = (
    rest: Pick<ProjectorArchitecture, 'embedding' | 'hidden' | 'slots'> & { layers?: number },
  ): ProjectorArchitecture => ({
    kind,
    name,
    input: kind === 'prefix' ? 'embedding' : 'features',
    layers: 0,
    ...rest,
  });

  if (kind === 'prefix') {
    const [hidden, embedding] = shapeOf('.fc1.weight');
    const slots = slotsOf(shapeOf('.fc2.weight')[0]);
    return {
      architecture: of({ embedding, hidden, slots }),
      sources: {
        kind,
        fc1: linear('.fc1', hidden, embedding),
        fc2: linear('.fc2', slots * width, hidden),
        norm: norm('.ln'),
        alpha: stored(keys.take(`${name}.alpha`, [])),
      },
    };
  }
  if (kind === 'clipcap-mlp') {
    const [hidden, embedding] = shapeOf('.model.0.weight');
    const slots = slotsOf(shapeOf('.model.2.weight')[0]);
    return {
      architecture: of({ embedding, hidden, slots }),
      sources: {
        kind,
        up: linear('.model.0', hidden, embedding),
        down: linear('.model.2', slots * width, hidden),
      },
    };
  }
  if (kind === 'clipcap-linear') {
    const [rows, embedding] = shapeOf('.weight');
    const slots = slotsOf(rows);
    return {
      architecture: of({ embedding, hidden: null, slots }),
      sources: { kind, linear: linear('', slots * width, embedding) },
    };
  }
  const [rows, embedding] = shapeOf('.linear.weight');
  const slots = shapeOf('.prefix_const')[0];
  const layers = countBlocks(keys.tensors.keys(), `${name}.transformer.layers`);
  const mlp = shapeOf('.transformer.layers.0.mlp.fc1.weight')[0];
  return {
    architecture: of({ embedding, hidden: null, slots, layers }),
    sources: {
      kind,
      clipSlots: slotsOf(rows),
      linear: linear('.linear', slotsOf(rows) * width, embedding),
      slots: stored(keys.take(`${name}.prefix_const`, [slots, width])),
      blocks: Array.from({ length: layers }, (_, n) => mapperBlock(`.transformer.layers.${n}`)),
    },
  };

  function mapperBlock(block: string): SourcesOf<MapperBlock> {
    const out: SourcesOf<Linear> = linear(`${block}.attn.project`, width, width);
    return {
      norm1: norm(`${block}.norm1`),
      queries: stored(keys.take(`${name}${block}.attn.to_queries.weight`, [width, width])),
      keysValues: stored(keys.take(`${name}${block}.attn.to_keys_values.weight`, [2 * width, width])),
      out,
      norm2: norm(`${block}.norm2`),
      mlp: {
        up: linear(`${block}.mlp.fc1`, mlp, width),
        down: linear(`${block}.mlp.fc2`, width, mlp),
      },
    };
  }
}

/**
 * What the projector of a state dict is and is called. A file without any is taken for this family's, so that its keys
 * are named as missing.
 * @param prefix of the language model's keys
 */
export function recogniseProjector(
  tensors: StateDict['tensors'],
  prefix: string,
): Pick<ProjectorArchitecture, 'kind' | 'name'> {
  const others = [...tensors.keys()].filter(key => !key.startsWith(prefix));
  for (const [mark, kind] of MARKS) {
    const key = others.find(other => other.endsWith(mark));
    if (key !== undefined) return { kind, name: key.slice(0, -mark.length) };
  }
  const lone = others.find(key => key.endsWith('.weight') && tensors.get(key)!.shape.length === 2);
  if (lone !== undefined && others.length === 2)
    return { kind: 'clipcap-linear', name: lone.slice(0, -'.weight'.length) };
  return { kind: 'prefix', name: 'prefix' };
}
