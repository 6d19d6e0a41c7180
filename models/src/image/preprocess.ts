/** RGB images to what the vision tower takes, in two deterministic modes. */
import { decodeImage } from './decode.js';
import type { DecodeOptions, RgbImage } from './decode.js';
import { resizeBicubic } from './resize.js';

/**
 * `train-centre`: the centred crop clamped to aspect [3/4, 4/3], squashed to a square (the fallback of torchvision's
 * RandomResizedCrop: the centre of what the model was trained on). `openclip-eval`: shortest side to the size, then
 * the centre cut out.
 */
export type PreprocessMode = 'train-centre' | 'openclip-eval';

export interface InputSpec {
  /** Pixels of a side. */
  readonly size: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /**
   * Where `openclip-eval` cuts when the centre lies between two pixels: at the even one as torchvision does (default), or
   * at the first as transformers' CLIPImageProcessor does in numpy.
   */
  readonly centre?: 'even' | 'first' | undefined;
}

/** @returns [3, size, size] row-major fp32, normalised */
export function preprocess(image: RgbImage, mode: PreprocessMode, spec: InputSpec): Float32Array {
  return normalise(resizeForTower(image, mode, spec.size, spec.centre), spec);
}

/** The 8-bit image that is normalised: what torchvision's transforms give before `ToTensor`. */
export function resizeForTower(
  image: RgbImage,
  mode: PreprocessMode,
  size: number,
  centre: InputSpec['centre'] = 'even',
): RgbImage {
  return mode === 'train-centre' ? trainCentre(image, size) : openclipEval(image, size, centre);
}

/** Decodes and preprocesses one file. @throws DermcapError as `decodeImage` */
export async function loadPixels(
  path: string,
  mode: PreprocessMode,
  spec: InputSpec,
  options: DecodeOptions = {},
): Promise<Float32Array> {
  return preprocess(await decodeImage(path, options), mode, spec);
}

function trainCentre(image: RgbImage, size: number): RgbImage {
  let { width, height } = image;
  const aspect = width / height;
  if (aspect < 3 / 4) height = roundHalfEven(width / (3 / 4));
  else if (aspect > 4 / 3) width = roundHalfEven(height * (4 / 3));
  const left = Math.floor((image.width - width) / 2);
  const top = Math.floor((image.height - height) / 2);
  return resizeBicubic(image, { left, top, width, height }, size, size);
}

function openclipEval(image: RgbImage, size: number, centre: 'even' | 'first'): RgbImage {
  const round = centre === 'even' ? roundHalfEven : Math.floor;
  const whole = { left: 0, top: 0, width: image.width, height: image.height };
  let [width, height] = [size, size];
  if (image.width <= image.height) height = Math.trunc((size * image.height) / image.width);
  else width = Math.trunc((size * image.width) / image.height);
  // A strip of 1 × 2,000 pixels would grow to 400 MB: only the centre is computed.
  const left = round((width - size) / 2);
  const top = round((height - size) / 2);
  return resizeBicubic(image, whole, width, height, { left, top, width: size, height: size });
}

/** Python's `round`. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** torch's ToTensor and Normalize in fp32: (x / 255 − mean) / std, channels first. */
function normalise({ data }: RgbImage, { size, mean, std }: InputSpec): Float32Array {
  const plane = size * size;
  const pixels = new Float32Array(3 * plane);
  for (let c = 0; c < 3; c++) {
    const table = new Float32Array(256);
    const [m, s] = [Math.fround(mean[c]!), Math.fround(std[c]!)];
    for (let v = 0; v < 256; v++) table[v] = Math.fround(Math.fround(Math.fround(v / 255) - m) / s);
    for (let i = 0; i < plane; i++) pixels[c * plane + i] = table[data[3 * i + c]!]!;
  }
  return pixels;
}
