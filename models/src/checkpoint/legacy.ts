/**
 * What `torch.save` wrote before PyTorch 1.6 (and still writes on request): five pickles in a row (magic number,
 * protocol version, system information, the object, the storages' keys), then for each key the number of elements
 * (int64) and the elements. Format: `torch/serialization.py`, `_legacy_save`.
 */
import { DermcapError } from '../errors.js';
import { endsBefore } from './byteSource.js';
import type { ByteSource } from './byteSource.js';
import { MAX_PICKLE_BYTES } from './limits.js';
import { unpickle } from './pickle.js';
import type { PickleReader } from './pickle.js';
import type { Operand, PickleValue } from './values.js';
import { Refusal } from './refusal.js';
import { StorageTable } from './storages.js';
import type { StorageDeclaration } from './storages.js';
import { storageClass, torchGlobals } from './torchGlobals.js';
import { DTYPE_SIZE } from './tensor.js';

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;
const LENGTH_BYTES = 8;

/** The pickles of a release fit; when they do not, twice as much is read. */
const FIRST_READ_BYTES = 256 << 10;

/** Whether a file that begins with these bytes (≥ 32) is of this format, whatever the pickle protocol. */
export function beginsAsLegacy(head: Uint8Array): boolean {
  try {
    const reader: PickleReader = { path: '', record: '', findGlobal: no, loadPersistent: no, build: no };
    return unpickle(head, 0, reader).value === MAGIC;
  } catch {
    return false;
  }
}

function no(): never {
  throw new Refusal('checkpoint-refused', 'a magic number names nothing.');
}

/**
 * @returns the pickled object, tensors as views into the file
 * @throws DermcapError naming what is damaged, refused or beyond the limits
 */
export async function openLegacy(source: ByteSource): Promise<PickleValue> {
  for (let length = FIRST_READ_BYTES; ; length *= 2) {
    const most = Math.min(source.byteLength, MAX_PICKLE_BYTES);
    const bytes = await source.read(0, Math.min(length, most));
    const storages = new StorageTable(source.path);
    let pickles;
    try {
      pickles = readPickles(source.path, bytes, storages);
    } catch (error) {
      if (!(error instanceof DermcapError) || error.code !== 'pickle-ended') throw error;
      if (length < most) continue;
      if (most < source.byteLength)
        throw new DermcapError(
          'checkpoint-limit',
          `${source.path}: its pickles are longer than ${MAX_PICKLE_BYTES} bytes.`,
        );
      throw endsBefore(source.path, source.byteLength, source.byteLength + 1);
    }
    await placeStorages(source, pickles.end, pickles.keys, storages);
    return pickles.root;
  }
}

function readPickles(path: string, bytes: Uint8Array, storages: StorageTable) {
  const globals = torchGlobals(storages);
  let at = 0;
  const next = (record: string): PickleValue => {
    const { value, end } = unpickle(bytes, at, {
      path,
      record,
      ...globals,
      loadPersistent: id => storages.declare(persistentStorage(id, storages)),
    });
    at = end;
    return value;
  };
  const damaged = (what: string) =>
    new DermcapError('checkpoint-damaged', `${path} is damaged: ${what}.`, { hint: 'Fetch the file again.' });

  if (next('magic number') !== MAGIC) throw damaged('it has another magic number than torch.save writes');
  const protocol = next('protocol version');
  if (protocol !== PROTOCOL)
    throw new DermcapError(
      'checkpoint-unsupported',
      `${path} has the legacy format in another version than ${PROTOCOL}.`,
    );
  const system = next('system information');
  if (!(system instanceof Map) || system.get('little_endian') !== true)
    throw new DermcapError(
      'checkpoint-unsupported',
      `${path} was saved on a machine of big-endian byte order; only little-endian is read.`,
    );
  const root = next('object');
  const keys = next('storage keys');
  if (!Array.isArray(keys) || keys.some(key => typeof key !== 'string'))
    throw damaged('its list of storages is none');
  return { root, keys: keys as string[], end: at };
}

/** ('storage', class, key, location, elements, view), view: null or (key, offset, elements) within the storage. */
function persistentStorage(id: Operand, { declared }: StorageTable): StorageDeclaration {
  if (Array.isArray(id) && id[0] === 'module')
    throw new Refusal(
      'checkpoint-refused',
      'it holds a whole module, that is a program.',
      'Save its state dict instead: torch.save({"model": model.state_dict()}, path).',
    );
  if (!Array.isArray(id) || id[0] !== 'storage')
    throw new Refusal('checkpoint-refused', 'it refers to something outside that is no storage.');
  const [, type, key, , elements, view = null] = id as Operand[];
  if (typeof key !== 'string' || typeof elements !== 'number')
    throw new Refusal('checkpoint-damaged', 'it refers to a storage without key or length.');
  const { dtype } = storageClass(type);
  const known = declared.get(key);
  if (known && (known.dtype !== dtype || known.elements !== elements))
    throw new Refusal('checkpoint-damaged', 'it gives one storage two types or lengths.');
  if (view === null) return { key, dtype, elements };
  const [, offset, length] = Array.isArray(view) ? view : [];
  if (typeof offset !== 'number' || typeof length !== 'number')
    throw new Refusal('checkpoint-damaged', 'it refers to a part of a storage without offset or length.');
  return { key, dtype, elements, view: { offset, elements: length } };
}

/** Finds the storages behind the pickles and checks the lengths written there against the declared ones. */
async function placeStorages(
  source: ByteSource,
  begin: number,
  keys: readonly string[],
  storages: StorageTable,
): Promise<void> {
  const offsets = new Map<string, number>();
  let at = begin;
  for (const key of keys) {
    const storage = storages.declared.get(key);
    if (storage === undefined || offsets.has(key))
      throw new DermcapError(
        'checkpoint-damaged',
        `${source.path} is damaged: it lists a storage it does not use.`,
      );
    const written = new DataView((await source.read(at, LENGTH_BYTES)).buffer).getBigInt64(0, true);
    if (written !== BigInt(storage.elements))
      throw new DermcapError(
        'checkpoint-damaged',
        `${source.path} is damaged: a storage of ${storage.elements} elements is written with ${written}.`,
      );
    offsets.set(key, at + LENGTH_BYTES);
    at += LENGTH_BYTES + storage.elements * DTYPE_SIZE[storage.dtype];
    if (at > source.byteLength) throw endsBefore(source.path, source.byteLength, at);
  }
  if (offsets.size !== storages.declared.size)
    throw new DermcapError('checkpoint-damaged', `${source.path} is damaged: a storage it uses is missing.`);
  storages.place(offsets);
}
