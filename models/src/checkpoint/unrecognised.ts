import { DermcapError } from '../errors.js';
import type { ByteSource } from './byteSource.js';
import { printable } from './refusal.js';

/** First bytes of formats that people mistake for checkpoints. */
const KNOWN_BEGINNINGS: [number[], string][] = [
  [[0x1f, 0x8b], 'compressed with gzip'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'compressed with zstandard'],
  [[0x42, 0x5a, 0x68], 'compressed with bzip2'],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'compressed with xz'],
  [[0x37, 0x7a, 0xbc, 0xaf], 'a 7-Zip archive'],
  [[0x89, 0x48, 0x44, 0x46], 'an HDF5 file (Keras?)'],
  [[0x93, 0x4e, 0x55, 0x4d], 'a numpy array'],
  [[0x47, 0x47, 0x55, 0x46], 'a GGUF file'],
  [[0x89, 0x50, 0x4e, 0x47], 'a PNG image'],
  [[0xff, 0xd8, 0xff], 'a JPEG image'],
  [[0x25, 0x50, 0x44, 0x46], 'a PDF document'],
];

/** "ustar" in the first header of a tar: what torch.save wrote before 2017, too. */
const TAR_MAGIC_OFFSET = 257;

/** How much of a file's beginning is looked at. */
export const HEAD_BYTES = 512;

/**
 * Says what a file is that is no checkpoint.
 * @param head its first {@link HEAD_BYTES} bytes, or all of them
 */
export function unrecognised({ path, byteLength }: ByteSource, head: Uint8Array): DermcapError {
  const format = (sentence: string, hint: string) =>
    new DermcapError('checkpoint-format', sentence, { hint });
  const text = asText(head);
  if (text?.startsWith('version https://git-lfs.github.com/spec/'))
    return new DermcapError(
      'checkpoint-lfs-pointer',
      `${path} is a Git LFS pointer (${byteLength} bytes of text), not the checkpoint itself.`,
      { hint: 'Fetch the real file with `git lfs pull`, or download it from the hub.' },
    );
  if (text && /^\ufeff?\s*<(!doctype|html|\?xml|head|body|error)/i.test(text))
    return format(
      `${path} is a web page, not a checkpoint: the download brought an error or a login page.`,
      'Download the file again; a private or gated repository asks you to sign in first.',
    );
  if (text !== null)
    return format(
      `${path} is a text file ("${printable(text.trim(), 40)}"), not a checkpoint.`,
      'Expected a .pt or .bin file of torch.save, or a .safetensors file.',
    );
  if (new TextDecoder('latin1').decode(head.subarray(TAR_MAGIC_OFFSET, TAR_MAGIC_OFFSET + 5)) === 'ustar')
    return new DermcapError(
      'checkpoint-legacy-tar',
      `${path} is a tar archive: PyTorch's format from before 2017, or a checkpoint packed into a tar.`,
      {
        hint: 'Unpack it if the checkpoint lies inside; else load it in PyTorch and save it again with torch.save.',
      },
    );
  if (head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5)
    return format(
      `${path} is a Python pickle, but not one of torch.save.`,
      'Load it in Python where you trust it, and save its state dict with torch.save.',
    );
  if (head.every(byte => byte === 0))
    return new DermcapError(
      'checkpoint-truncated',
      `${path} begins with zeros only: its download or copy was begun but not finished.`,
      { hint: 'Fetch the file again.' },
    );
  const known = KNOWN_BEGINNINGS.find(([bytes]) => bytes.every((byte, i) => head[i] === byte));
  if (known) return format(`${path} is ${known[1]}, not a checkpoint.`, 'Unpack or convert it first.');
  return format(
    `${path} is not a PyTorch checkpoint, nor a safetensors file.`,
    'Expected a .pt or .bin file of torch.save, or a .safetensors file.',
  );
}

/** The bytes as text when they can be nothing else. */
function asText(head: Uint8Array): string | null {
  try {
    // Streaming: the head may end within a character.
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(head, { stream: true });
    // eslint-disable-next-line no-control-regex
    return /[\u0000-\u0008\u000e-\u001a\u001c-\u001f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}
