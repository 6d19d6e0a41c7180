/**
 * What `torch.save` writes since PyTorch 1.6: a zip with one root folder (named after the file, or `archive`) that
 * holds `data.pkl`, `data/<storage key>`, `byteorder` and `version`.
 */
import { DermcapError } from '../errors.js';
import type { ByteSource } from './byteSource.js';
import { MAX_PICKLE_BYTES } from './limits.js';
import { unpickle } from './pickle.js';
import type { Operand, PickleValue } from './values.js';
import { Refusal, printable } from './refusal.js';
import { StorageTable } from './storages.js';
import { storageClass, torchGlobals } from './torchGlobals.js';
import { DTYPE_SIZE } from './tensor.js';
import { payloadOffset, readEntry, readZipDirectory } from './zip.js';
import type { ZipDirectory, ZipEntry } from './zip.js';

/** Local headers read at the same time: enough to keep a disk busy. */
const HEADERS_AT_ONCE = 32;

/** Longest sensible content of `byteorder`: "little". */
const MAX_BYTEORDER_BYTES = 16;

/**
 * @returns the pickled object, tensors as views into the file
 * @throws DermcapError naming what is damaged, refused or beyond the limits
 */
export async function openTorchZip(source: ByteSource): Promise<PickleValue> {
  const directory = await readZipDirectory(source);
  const root = rootFolder(source.path, directory);
  await checkByteOrder(source, directory, root);
  const pickle = await readEntry(
    source,
    directory,
    directory.entries.get(`${root}data.pkl`)!,
    MAX_PICKLE_BYTES,
  );

  const storages = new StorageTable(source.path);
  const entries = new Map<string, ZipEntry>();
  const { value } = unpickle(pickle, 0, {
    path: source.path,
    record: 'data.pkl',
    ...torchGlobals(storages),
    loadPersistent: id => {
      const declaration = persistentStorage(id);
      const name = `${root}data/${declaration.key}`;
      const entry = directory.entries.get(name);
      if (entry === undefined)
        throw new Refusal('checkpoint-damaged', `the record ${printable(name)} of a tensor is missing.`);
      const bytes = declaration.elements * DTYPE_SIZE[declaration.dtype];
      if (bytes > entry.size)
        throw new Refusal(
          'checkpoint-damaged',
          `a storage of ${bytes} bytes is said to lie in ${printable(name)}, which has ${entry.size}.`,
        );
      entries.set(declaration.key, entry);
      return storages.declare(declaration);
    },
  });

  const offsets = new Map<string, number>();
  const used = [...entries];
  for (let i = 0; i < used.length; i += HEADERS_AT_ONCE)
    await Promise.all(
      used.slice(i, i + HEADERS_AT_ONCE).map(async ([key, entry]) => {
        offsets.set(key, await payloadOffset(source, directory, entry));
      }),
    );
  storages.place(offsets);
  return value;
}

/** A persistent id ('storage', class, key, location, elements); where it was computed does not matter here. */
function persistentStorage(id: Operand) {
  if (!Array.isArray(id) || id[0] !== 'storage')
    throw new Refusal('checkpoint-refused', 'it refers to something outside that is no storage.');
  const [, type, key, , elements] = id as Operand[];
  if (typeof key !== 'string' || typeof elements !== 'number')
    throw new Refusal('checkpoint-damaged', 'it refers to a storage without key or length.');
  return { key, elements, dtype: storageClass(type).dtype };
}

/** "best_stageA/", from the first record called data.pkl. */
function rootFolder(path: string, { entries }: ZipDirectory): string {
  for (const name of entries.keys())
    if (name === 'data.pkl' || name.endsWith('/data.pkl')) {
      const root = name.slice(0, -'data.pkl'.length);
      if (entries.has(`${root}constants.pkl`))
        throw new DermcapError(
          'checkpoint-unsupported',
          `${path} is a TorchScript archive, which holds a program.`,
          {
            hint: 'Save the weights alone: torch.save({"model": model.state_dict()}, path).',
          },
        );
      return root;
    }
  throw new DermcapError(
    'checkpoint-format',
    `${path} is a zip archive, but not one of torch.save: it has no data.pkl.`,
    {
      hint: 'If the checkpoint is inside this archive, unpack it first.',
    },
  );
}

async function checkByteOrder(source: ByteSource, directory: ZipDirectory, root: string): Promise<void> {
  const entry = directory.entries.get(`${root}byteorder`);
  if (entry === undefined) return; // before PyTorch 2.1; always little there in practice
  const order = new TextDecoder().decode(await readEntry(source, directory, entry, MAX_BYTEORDER_BYTES));
  if (order !== 'little')
    throw new DermcapError(
      'checkpoint-unsupported',
      `${source.path} was saved on a machine of ${printable(order)}-endian byte order; only little-endian is read.`,
      { hint: 'Load it in PyTorch on this machine and save it again.' },
    );
}
