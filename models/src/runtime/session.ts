/**
 * onnxruntime sessions over graphs in memory whose weights stay in their files.
 */
import * as ort from 'onnxruntime-node';
import { DermcapError } from '../errors.js';
import { WEIGHT_ROOT } from '../graph/builder.js';
import type { Graph } from '../graph/builder.js';

export type ProviderChoice = 'auto' | 'cpu' | 'webgpu' | 'cuda';

export interface Provider {
  name: 'cpu' | 'webgpu' | 'cuda';
  /** Why this one, in words. */
  reason: string;
}

/** Which execution provider to use. `auto` takes the CPU: the only one whose captions are checked token by token. */
export function chooseProvider(choice: ProviderChoice): Provider {
  if (choice === 'auto')
    return {
      name: 'cpu',
      reason:
        'chosen automatically: the only provider whose captions are proven equal to the reference so far',
    };
  return { name: choice, reason: 'asked for by name' };
}

/** Operators that gain from a GPU; everything else, the bookkeeping of the search, stays on the CPU there. */
const GPU_OPERATORS =
  /^(MatMul|FusedMatMul|FastGelu|BiasGelu|Gelu|SkipLayerNormalization|LayerNormalization|Softmax|Conv|MultiHeadAttention)$/;

/** onnxruntime would put the residual's addition and its layer norm back into one node, which is slower (decision 006). */
const UNWANTED_FUSIONS = 'SkipLayerNormFusion';

export interface SessionSettings {
  /** Whether matrices are copied into the layout that multiplies fastest; without it they stay the file's pages. */
  prepack?: boolean | undefined;
}

/** @throws DermcapError `provider-unavailable` when the provider cannot be used on this machine */
export async function createSession(
  graph: Graph,
  provider: Provider,
  threads: number,
  { prepack = true }: SessionSettings = {},
): Promise<ort.InferenceSession> {
  const executionProvider: ort.InferenceSession.ExecutionProviderConfig =
    provider.name === 'webgpu'
      ? { name: 'webgpu', forceCpuNodeNames: graph.nodeNames(type => !GPU_OPERATORS.test(type)) }
      : provider.name;
  try {
    return await ort.InferenceSession.create(graph.encode(), {
      executionProviders: [executionProvider],
      intraOpNumThreads: threads,
      logSeverityLevel: 3,
      extra: {
        optimization: { disable_specified_optimizers: UNWANTED_FUSIONS },
        session: {
          model_external_initializers_file_folder_path: WEIGHT_ROOT,
          ...(prepack ? {} : { disable_prepacking: '1' }),
        },
      },
    });
  } catch (cause) {
    if (provider.name === 'cpu') throw cause;
    throw new DermcapError(
      'provider-unavailable',
      `The ${provider.name} provider cannot be used here: ${(cause as Error).message}`,
      { hint: 'Use --provider cpu, or see docs/gpu.md for how to turn a GPU on.', cause },
    );
  }
}
