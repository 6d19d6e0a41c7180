/** What a request says or leaves out, for captions and explanations alike. */
import { DermcapError } from './errors.js';

/**
 * The prompt asked for, else the one the stage was trained with.
 * @throws DermcapError `prompt-unknown`
 */
export function promptOf(stage: { file: string; prompt: string | null }, asked: string | undefined): string {
  const prompt = asked ?? stage.prompt;
  if (prompt !== null) return prompt;
  throw new DermcapError('prompt-unknown', `${stage.file} does not say which prompt it was trained with.`, {
    hint: 'Give a prompt (--prompt TEXT).',
  });
}

/**
 * An image's pixels for one of several inputs.
 * @param image pixels for the one input there is, or for each
 * @param input its index, and the size it has
 * @param tower the vision tower's name
 * @throws DermcapError `pixels-missing`
 */
export function pixelsOf(
  image: Float32Array | { pixels: readonly Float32Array[] },
  input: number,
  size: number,
  tower: string,
): Float32Array {
  const pixels = image instanceof Float32Array ? [image][input] : image.pixels[input];
  if (pixels?.length === 3 * size * size) return pixels;
  throw new DermcapError(
    'pixels-missing',
    `The vision tower ${tower} wants an image of 3 × ${size} × ${size} values.`,
    { hint: 'Preprocess the image for each of `inputs`.' },
  );
}
