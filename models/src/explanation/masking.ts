/**
 * Score-CAM: the tower's own activations cut out parts of the image, and each counts by how likely the text is with
 * nothing but its part. Forward passes only.
 * Source: Wang et al., Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks, CVPR
 * Workshops 2020; tokens of the last block as activations as in the published implementations for transformers.
 */

/** A channel's activations over the patches, scaled to [0, 1]. */
export interface ActivationMask {
  channel: number;
  /** [grid, grid] */
  values: Float32Array;
}

/**
 * The channels that vary most over the image (by variance; the lower channel first where equal). One that is the same
 * everywhere cuts nothing out and is left out.
 * @param activations [patches, channels], patches in reading order
 */
export function activationMasks(
  activations: Float32Array,
  channels: number,
  count: number,
): ActivationMask[] {
  const patches = activations.length / channels;
  const candidates = Array.from({ length: channels }, (_, channel) => {
    const values = Float32Array.from({ length: patches }, (_, p) => activations[p * channels + channel]!);
    const mean = values.reduce((sum, value) => sum + value, 0) / patches;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / patches;
    return { channel, values, variance };
  });
  return candidates
    .filter(({ values }) => Math.max(...values) > Math.min(...values))
    .sort((a, b) => b.variance - a.variance || a.channel - b.channel)
    .slice(0, count)
    .map(({ channel, values }) => {
      const [low, high] = [Math.min(...values), Math.max(...values)];
      return { channel, values: values.map(value => (value - low) / (high - low)) };
    });
}

/**
 * The image times the mask, enlarged bilinearly (pixel centres aligned as in torch's `interpolate` without
 * `align_corners`): 0 in the mask is the mean colour of the tower's training images.
 * @param pixels [3, size, size], normalised
 * @param mask [grid, grid]
 */
export function maskImage(
  pixels: Float32Array,
  size: number,
  mask: Float32Array,
  grid: number,
): Float32Array {
  const large = enlarge(mask, grid, size);
  return pixels.map((value, i) => value * large[i % large.length]!);
}

/** [from, from] → [to, to] */
export function enlarge(values: Float32Array, from: number, to: number): Float32Array {
  const taps = Array.from({ length: to }, (_, i) => {
    const at = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const low = Math.min(Math.floor(at), from - 1);
    return { low, high: Math.min(low + 1, from - 1), share: at - low };
  });
  const large = new Float32Array(to * to);
  taps.forEach((row, y) =>
    taps.forEach((column, x) => {
      const along = (line: number) =>
        values[line * from + column.low]! * (1 - column.share) +
        values[line * from + column.high]! * column.share;
      large[y * to + x] = along(row.low) * (1 - row.share) + along(row.high) * row.share;
    }),
  );
  return large;
}

/**
 * The masks weighted by softmax(mean log-likelihood of a token under each): by each part's share of the likelihood. The
 * likelihood of the blank image, which the paper subtracts, cancels out in the softmax; the mean keeps a long caption
 * from leaving all the weight to one mask. Summed are the masks, not the raw activations, which in a transformer may be
 * negative: the paper's ReLU has nothing to do then.
 * @param scores per mask, in nats per token
 * @returns [grid, grid], between 0 and 1
 */
export function maskingMap(masks: readonly ActivationMask[], scores: readonly number[]): Float32Array {
  const best = Math.max(...scores);
  const weights = scores.map(score => Math.exp(score - best));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const map = new Float64Array(masks[0]?.values.length ?? 0);
  masks.forEach(({ values }, i) =>
    values.forEach((value, cell) => {
      map[cell]! += (weights[i]! / total) * value;
    }),
  );
  return Float32Array.from(map);
}
