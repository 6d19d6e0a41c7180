/**
 * The vision tower: a folder as on the hub, of open_clip (`open_clip_config.json`; timm's vision transformers or
 * open_clip's own) or of transformers (`config.json` of a CLIPModel). Other towers are refused by name.
 */
import { join } from 'node:path';
import { openCheckpoint } from '../checkpoint/open.js';
import { DermcapError } from '../errors.js';
import { clipVit } from './clipVit.js';
import { existingFile, isFile, snapshotOf } from './files.js';
import { HF_CLIP_CONFIG, HF_CLIP_WEIGHTS, hfVision, isHfClip, readHfClip } from './hfClip.js';
import { OPEN_CLIP_CONFIG, OPEN_CLIP_WEIGHTS, openClipWeights, readOpenClipConfig } from './openClip.js';
import { stateDict } from './stateDict.js';
import { timmVit } from './timmVit.js';
import type { PreprocessConfig, VitArchitecture } from './vitArchitecture.js';

/** Which library's class the tower is: open_clip's TimmModel or VisionTransformer, transformers' CLIPModel. */
export type TowerKind = 'TimmModel' | 'VisionTransformer' | 'CLIPModel';

export interface VisionTower extends VitArchitecture, PreprocessConfig {
  folder: string;
  kind: TowerKind;
  weightsFile: string;
}

/** @throws DermcapError `clip-*` naming what is missing or not supported */
export async function openVisionTower(clipDir: string): Promise<VisionTower> {
  const folder = await snapshotOf(clipDir);
  const library = await towerLibrary(folder);
  if (library === null)
    throw new DermcapError(
      'clip-config-missing',
      `${folder} holds no ${OPEN_CLIP_CONFIG} and no CLIP ${HF_CLIP_CONFIG}.`,
      {
        hint: 'Name the folder of the vision tower as downloaded from the hub (--clip DIR).',
      },
    );
  if (library === 'transformers') {
    const { config, weightsFile, ...preprocess } = await readHfClip(folder);
    const dict = stateDict(await openCheckpoint(weightsFile));
    const vit = hfVision(dict, config);
    return { ...vit, ...preprocess, folder, kind: 'CLIPModel', weightsFile: dict.file };
  }
  const config = await readOpenClipConfig(folder);
  const { imageSize, mean, std, centre } = config;
  const dict = stateDict(await openCheckpoint(await openClipWeights(folder)));
  const isTimm = typeof config.vision.timm_model_name === 'string';
  return {
    ...(isTimm ? timmVit(dict, config) : clipVit(dict, config)),
    folder,
    kind: isTimm ? 'TimmModel' : 'VisionTransformer',
    weightsFile: dict.file,
    imageSize,
    mean,
    std,
    centre,
  };
}

/** Which library's layout a folder has; a folder of both is open_clip's where its weights are there. */
export async function towerLibrary(folder: string): Promise<'open_clip' | 'transformers' | null> {
  const hasConfig = await isFile(join(folder, OPEN_CLIP_CONFIG));
  if (hasConfig && (await existingFile(folder, OPEN_CLIP_WEIGHTS)) !== null) return 'open_clip';
  if ((await isHfClip(folder)) && (!hasConfig || (await existingFile(folder, HF_CLIP_WEIGHTS)) !== null))
    return 'transformers';
  return hasConfig ? 'open_clip' : null;
}
