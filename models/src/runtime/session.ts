/**
 * onnxruntime sessions over graphs in memory whose weights stay in their files.
 */
import * as ort from 'onnxruntime-node';
import { DermcapError } from '../errors.js';
import { WEIGHT_ROOT } from '../graph/builder.js';
import type { Graph } from '../graph/builder.js';
import type { Provider } from './providers.js';

/**
 * Operators that run on WebGPU: what the blocks of the towers and of the language model are made of. Everything else,
 * the search's bookkeeping in integers and booleans and the choice among the logits, stays on the CPU (decision 010).
 */
const WEBGPU_OPERATORS = new Set([
  ...['MatMul', 'Conv', 'Softmax', 'LayerNormalization', 'FastGelu', 'BiasGelu', 'Gelu'],
  ...['Add', 'Mul', 'Reshape', 'Transpose', 'Split', 'Concat'],
]);

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
  const model = provider.name === 'webgpu' ? graph.withoutFusedMatMul() : graph;
  try {
    return await ort.InferenceSession.create(model.encode(), {
      executionProviders: [executionProvider(model, provider)],
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

function executionProvider(
  graph: Graph,
  { name, device = 0 }: Provider,
): ort.InferenceSession.ExecutionProviderConfig {
  if (name === 'webgpu') return { name, forceCpuNodeNames: webgpuCpuNodes(graph) };
  return name === 'cuda' ? { name, deviceId: device } : name;
}

/** Names of the nodes that stay on the CPU when the rest runs on WebGPU. */
export function webgpuCpuNodes(graph: Graph): string[] {
  return graph.nodeNames(type => !WEBGPU_OPERATORS.has(type));
}
