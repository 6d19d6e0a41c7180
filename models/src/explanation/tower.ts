/** The vision tower as explanations need it: embeddings of many images, attention and activations of one. */
import type { ProjectorArchitecture } from '../architecture/projectors.js';
import { mapSources } from '../architecture/source.js';
import type { VisionTower } from '../architecture/tower.js';
import { vitAttentionGraph, vitGraph } from '../graph/vit.js';
import type { VitWeights } from '../graph/weights.js';
import { pixelBatch } from '../runtime/tensors.js';
import { attentionRollout } from './attention.js';
import type { Materialise, Sessions } from './sessions.js';
import type { VisionRollout } from './types.js';

export class TowerReader {
  /** Pixels of the image's side, of a patch's side, and patches of the image's side. */
  readonly size: number;
  readonly patch: number;
  readonly grid: number;
  private mapped: Promise<VitWeights> | undefined;

  /** @param index its place among those that share the sessions */
  constructor(
    private readonly index: number,
    private readonly tower: VisionTower,
    private readonly sessions: Sessions,
    private readonly materialise: Materialise,
  ) {
    this.size = tower.sizes.imageSize;
    this.patch = tower.sizes.patchSize;
    this.grid = Math.floor(this.size / this.patch);
  }

  /** @returns [B, D] row-major: of unit length, and as the tower gives it */
  async embed(
    images: readonly Float32Array[],
  ): Promise<Record<ProjectorArchitecture['input'], Float32Array>> {
    const weights = await this.weights();
    const { sizes, form } = this.tower;
    const session = await this.sessions.get(`vision ${this.index}`, () => vitGraph(weights, sizes, form));
    const { embedding, features } = await session.run({ pixels: pixelBatch(images, this.size) });
    return { embedding: embedding!.data as Float32Array, features: features!.data as Float32Array };
  }

  /** What of each patch reaches the vector that is pooled: the class token, or the mean of the patches. */
  async rollout(pixels: Float32Array): Promise<VisionRollout> {
    const { meanAttention } = await this.look(pixels);
    const [layers, positions] = meanAttention!.dims as [number, number];
    const before = positions - this.grid ** 2; // 1 where there is a class token
    const patches = Array.from({ length: this.grid ** 2 }, (_, i) => before + i);
    const rows = this.tower.form.pooling === 'token' ? [0] : patches;
    const flow = attentionRollout(meanAttention!.data as Float32Array, layers, positions, rows);
    const pooled = Float32Array.from({ length: positions }, (_, position) => {
      let sum = 0;
      for (let row = 0; row < rows.length; row++) sum += flow[row * positions + position]!;
      return sum / rows.length;
    });
    return {
      grid: this.grid,
      values: pooled.slice(before),
      classToken: before === 0 ? null : pooled[0]!,
    };
  }

  /** [patches, channels] */
  async activations(pixels: Float32Array): Promise<Float32Array> {
    const { activations } = await this.look(pixels);
    const [positions, channels] = activations!.dims as [number, number];
    return (activations!.data as Float32Array).slice((positions - this.grid ** 2) * channels);
  }

  private async look(pixels: Float32Array) {
    const weights = await this.weights();
    const session = await this.sessions.get(`vision attention ${this.index}`, () =>
      vitAttentionGraph(weights, this.tower.sizes, this.tower.form),
    );
    return session.run({ pixels: pixelBatch([pixels], this.size) });
  }

  private weights(): Promise<VitWeights> {
    return (this.mapped ??= mapSources(this.tower.sources, this.materialise));
  }
}
