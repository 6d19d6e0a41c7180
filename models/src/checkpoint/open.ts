import { DermcapError } from '../errors.js';
import { FileSource } from './byteSource.js';
import type { ByteSource } from './byteSource.js';
import { beginsAsLegacy, openLegacy } from './legacy.js';
import type { PickleValue } from './values.js';
import { beginsAsSafetensors, openSafetensors } from './safetensors.js';
import { openTorchZip } from './torchZip.js';
import { HEAD_BYTES, unrecognised } from './unrecognised.js';

export type CheckpointFormat = 'torch-zip' | 'torch-legacy' | 'safetensors';

export interface Checkpoint {
  /** Real path. */
  readonly path: string;
  readonly format: CheckpointFormat;
  /** The pickled object ({@link PickleValue}), tensors as views; of safetensors a Map of name → view. */
  readonly root: PickleValue;
  /** `__metadata__` of safetensors; empty otherwise. */
  readonly metadata: Record<string, string>;
}

/** "PK", then the first record's header or, in an archive without records, its end. */
const ZIP_BEGINNINGS = [
  [0x50, 0x4b, 0x03, 0x04],
  [0x50, 0x4b, 0x05, 0x06],
];

/**
 * Opens a checkpoint: reads what describes it, no weights, and runs nothing that is in it.
 * @throws DermcapError a sentence for every file that is not a complete, plain checkpoint
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const source = await FileSource.open(path);
  try {
    return await readCheckpoint(source);
  } finally {
    await source.close();
  }
}

/** {@link openCheckpoint} from any source of bytes. */
export async function readCheckpoint(source: ByteSource): Promise<Checkpoint> {
  const { path, byteLength } = source;
  if (byteLength === 0)
    throw new DermcapError('checkpoint-empty', `${path} is empty.`, {
      hint: 'The download or copy failed: fetch the file again.',
    });
  const head = await source.read(0, Math.min(HEAD_BYTES, byteLength));
  if (ZIP_BEGINNINGS.some(bytes => bytes.every((byte, i) => head[i] === byte)))
    return { path, format: 'torch-zip', root: await openTorchZip(source), metadata: {} };
  if (beginsAsLegacy(head))
    return { path, format: 'torch-legacy', root: await openLegacy(source), metadata: {} };
  if (beginsAsSafetensors(head)) return { path, format: 'safetensors', ...(await openSafetensors(source)) };
  throw unrecognised(source, head);
}
