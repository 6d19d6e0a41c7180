/**
 * The shortest time that a machine's memory and arithmetic allow. Every pass of a model reads its weights once and
 * multiplies each by every row that goes through it; the longer of the two is the pass's bound:
 *
 *     pass ≥ max(bytes ÷ bandwidth, multiply-adds ÷ peak)
 *     caption ≥ vision tower + prefill + (steps − 1) · step
 *
 * Weights of stages that are equal are read once. Keys and values, attention's own products, norms and the search are
 * left out, so that nothing can be faster than the bound; see README.md.
 */

/** Bytes of a stored weight. */
const BYTES = { exact: 4, fast: 1 };

/**
 * @typedef {{ width: number, layers: number, sharedLayers: number, vocabulary: number, prefixSlots: number,
 *   embedding: number, hidden: number, promptTokens: number[] }} CaptionerShape `promptTokens` per stage
 * @typedef {{ imageSize: number, patchSize: number, width: number, layers: number, embedding: number }} TowerShape
 * @typedef {{ bandwidth: number, fp32: number, int8: number }} Machine bytes/s, multiply-adds/s
 */

/** Seconds of one pass that reads `weights` weights and does `products` multiply-adds. */
function pass(weights, products, precision, machine) {
  const peak = precision === 'exact' ? machine.fp32 : machine.int8;
  return Math.max((BYTES[precision] * weights) / machine.bandwidth, products / peak);
}

/** Seconds of embedding `images` images. */
export function embedBound(tower, images, precision, machine) {
  const { imageSize, patchSize, width, layers, embedding } = tower;
  const patches = (imageSize / patchSize) ** 2;
  const patch = 3 * patchSize ** 2 * width;
  const blocks = 12 * width ** 2 * layers; // qkv 3, out 1, mlp 4 + 4
  const head = embedding * width;
  const products = images * (patches * patch + (patches + 1) * blocks + head);
  return pass(patch + blocks + head, products, precision, machine);
}

/**
 * Seconds of captioning `images` images by the first `stages` stages, from pixels to tokens.
 * @param steps generated tokens
 */
export function captionBound(model, tower, { stages, images, beams, precision, steps }, machine) {
  const { width, layers, sharedLayers, vocabulary, prefixSlots, embedding, hidden } = model;
  const block = 12 * width ** 2; // qkv 3, out 1, mlp 4 + 4
  const shared = stages > 1 ? sharedLayers : layers;
  const own = layers - shared;
  const head = vocabulary * width;
  const weights = (shared + stages * own) * block + stages * head;

  const rows = images * beams * stages;
  const step = pass(weights, rows * (layers * block + head), precision, machine);

  const projector = embedding * hidden + hidden * prefixSlots * width;
  const prompts = model.promptTokens.slice(0, stages).reduce((sum, tokens) => sum + tokens, 0);
  // The prefix passes what is shared once, and the rest once per stage; the head is for the last position only.
  const positions = shared * (prefixSlots + prompts) + own * (stages * prefixSlots + prompts);
  const prefill = pass(
    weights + projector,
    images * (positions * block + projector + stages * head),
    precision,
    machine,
  );
  return embedBound(tower, images, precision, machine) + prefill + (steps - 1) * step;
}
