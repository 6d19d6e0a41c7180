/** Options that several commands have. */
import { Option } from 'commander';

export function providerOption(): Option {
  return new Option('--provider <provider>', 'where the model runs')
    .choices(['auto', 'cpu', 'webgpu', 'cuda'])
    .default('auto');
}

export function precisionOption(): Option {
  return new Option('--precision <precision>', 'exact: fp32, as the reference; fast: int8')
    .choices(['exact', 'fast'])
    .default('exact');
}

export function preprocessOption(): Option {
  return new Option('--preprocess <mode>', 'how an image becomes the model’s square')
    .choices(['train-centre', 'openclip-eval'])
    .default('train-centre');
}
