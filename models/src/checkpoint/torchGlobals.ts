/**
 * The names a PyTorch checkpoint may use, each mapped to a small function of our own: torch's own allow-list
 * (`torch/_weights_only_unpickler.py`) without what makes tensors of other kinds (quantised, sparse, nested, meta).
 * No Python class is looked up and no object is made.
 */
import type { PickleReader } from './pickle.js';
import { Refusal, printable } from './refusal.js';
import type { StorageTable } from './storages.js';
import { DTYPE_SIZE } from './tensor.js';
import type { DType, TensorView } from './tensor.js';
import { kindOf, PickleFunction } from './values.js';
import type { Operand, PickleValue } from './values.js';

const STORAGE_DTYPES: Record<string, DType> = {
  'torch.DoubleStorage': 'float64',
  'torch.FloatStorage': 'float32',
  'torch.HalfStorage': 'float16',
  'torch.BFloat16Storage': 'bfloat16',
  'torch.LongStorage': 'int64',
  'torch.IntStorage': 'int32',
  'torch.ShortStorage': 'int16',
  'torch.CharStorage': 'int8',
  'torch.ByteStorage': 'uint8',
  'torch.BoolStorage': 'bool',
  // Its length is in bytes.
  'torch.UntypedStorage': 'uint8',
  'torch.storage.UntypedStorage': 'uint8',
};

/** torch.<name> as a value, say in a training configuration; tensors of most of these are not read. */
const DTYPE_NAMES = new Set([
  ...Object.keys(DTYPE_SIZE),
  ...['complex32', 'complex64', 'complex128', 'uint16', 'uint32', 'uint64'],
  ...['float8_e4m3fn', 'float8_e4m3fnuz', 'float8_e5m2', 'float8_e5m2fnuz'],
]);

/** What the refused rebuild functions of torch stand for. */
const OTHER_TENSORS: Record<string, string> = {
  _rebuild_qtensor: 'a quantised tensor',
  _rebuild_sparse_tensor: 'a sparse tensor',
  _rebuild_sparse_csr_tensor: 'a sparse tensor',
  _rebuild_nested_tensor: 'a nested tensor',
  _rebuild_meta_tensor_no_storage: 'a tensor without data (meta device)',
  _rebuild_wrapper_subclass: 'a tensor of a special class',
  _rebuild_device_tensor_from_numpy: 'a tensor of another device, stored through numpy',
  _rebuild_device_tensor_from_cpu_tensor: 'a tensor of another device',
};

/** The class of a storage: names its element type, is never called. */
export class StorageClass extends PickleFunction {
  constructor(
    name: string,
    readonly dtype: DType,
  ) {
    super(name, neverCalled(name));
  }
}

/**
 * The globals and the BUILD rule for one file.
 * @param storages where the file's tensors are entered
 */
export function torchGlobals(storages: StorageTable): Pick<PickleReader, 'findGlobal' | 'build'> {
  const ordered = new WeakSet<object>();
  const tensorClasses = ['torch.Tensor', 'torch.nn.parameter.Parameter'].map(
    name => new PickleFunction(name, neverCalled(name)),
  );
  const rebuild = (storage: Operand, dtype: DType | null, layout: readonly Operand[]): TensorView => {
    const [offset, shape, strides] = layout;
    if (
      !storages.isStorage(storage) ||
      typeof offset !== 'number' ||
      !isNumbers(shape) ||
      !isNumbers(strides)
    )
      throw badArguments('a tensor');
    return storages.tensor(storage, dtype ?? storage.dtype, offset, shape, strides);
  };
  const functions: PickleFunction[] = [
    new PickleFunction('collections.OrderedDict', ([pairs = []]) => {
      const dict = dictOf(pairs);
      ordered.add(dict);
      return dict;
    }),
    new PickleFunction('collections.Counter', ([counts = []]) => dictOf(counts)),
    new PickleFunction('torch._utils._rebuild_tensor', ([storage, ...layout]) =>
      rebuild(storage!, null, layout),
    ),
    // (storage, offset, shape, strides, requires_grad, hooks[, metadata])
    new PickleFunction('torch._utils._rebuild_tensor_v2', ([storage, ...layout]) =>
      rebuild(storage!, null, layout),
    ),
    // (storage, offset, shape, strides, requires_grad, hooks, dtype[, metadata]); the storage is untyped
    new PickleFunction('torch._utils._rebuild_tensor_v3', ([storage, ...layout]) =>
      rebuild(storage!, dtypeOf(layout[5]), layout),
    ),
    new PickleFunction('torch._utils._rebuild_parameter', ([data]) => asTensor(data)),
    new PickleFunction('torch._utils._rebuild_parameter_with_state', ([data]) => asTensor(data)),
    // (function, class, arguments, state): a tensor with attributes of its own, which are left out
    new PickleFunction('torch._tensor._rebuild_from_type_v2', ([make, type, args]) => {
      if (!(make instanceof PickleFunction) || !make.name.startsWith('torch._utils._rebuild_'))
        throw badArguments('torch._tensor._rebuild_from_type_v2');
      if (!tensorClasses.includes(type as PickleFunction) || !Array.isArray(args))
        throw badArguments('torch._tensor._rebuild_from_type_v2');
      return make.call(args);
    }),
    ...tensorClasses,
    new PickleFunction('torch.Size', ([sizes = []]) => {
      if (!isNumbers(sizes)) throw badArguments('torch.Size');
      return [...sizes];
    }),
    new PickleFunction('torch.device', ([type, index]) => {
      if (typeof type !== 'string') throw badArguments('torch.device');
      return typeof index === 'number' ? `${type}:${index}` : type;
    }),
    new PickleFunction('torch.serialization._get_layout', ([name]) => {
      if (typeof name !== 'string') throw badArguments('torch.serialization._get_layout');
      return name;
    }),
    new PickleFunction('_codecs.encode', ([text, encoding]) => latin1(text, encoding)),
    new PickleFunction('builtins.bytearray', ([content = new Uint8Array(), encoding]) =>
      content instanceof Uint8Array ? content.slice() : latin1(content, encoding),
    ),
    new PickleFunction('builtins.set', ([items = []]) => {
      if (!Array.isArray(items)) throw badArguments('set');
      return new Set(items);
    }),
    new PickleFunction('builtins.complex', ([real = 0, imaginary = 0]) => {
      if (typeof real !== 'number' || typeof imaginary !== 'number') throw badArguments('complex');
      return { real, imaginary };
    }),
    new PickleFunction('torch.storage.TypedStorage', neverCalled('torch.storage.TypedStorage')),
    ...Object.entries(STORAGE_DTYPES).map(([name, dtype]) => new StorageClass(name, dtype)),
  ];
  const byName = new Map<string, Operand>(functions.map(f => [f.name, f]));
  for (const name of DTYPE_NAMES) byName.set(`torch.${name}`, `torch.${name}`);

  return {
    findGlobal(module, name) {
      // Python 2's name, which protocol 2 goes on using
      const full = `${module === '__builtin__' ? 'builtins' : module}.${name}`;
      const found = byName.get(full);
      if (found === undefined) throw notAllowed(module, name);
      return found;
    },
    build(object, state) {
      // An OrderedDict's attributes (`_metadata` of a state dict: module versions) are left out.
      if (object instanceof Map && ordered.has(object) && state instanceof Map) return;
      throw new Refusal(
        'checkpoint-refused',
        `it sets the state (BUILD) of ${kindOf(object)}; only an OrderedDict may have one.`,
      );
    },
  };
}

/** @throws Refusal unless the value is a storage class */
export function storageClass(value: Operand | undefined): StorageClass {
  if (value instanceof StorageClass) return value;
  throw new Refusal('checkpoint-damaged', 'a storage has no known element type.');
}

function notAllowed(module: string, name: string): Refusal {
  const shown = printable(`${module}.${name}`);
  const kind = module === 'torch._utils' && Object.hasOwn(OTHER_TENSORS, name) ? OTHER_TENSORS[name]! : null;
  if (kind !== null)
    return new Refusal(
      'checkpoint-refused',
      `it holds ${kind} (${shown}), which DermCap does not read.`,
      'Save plain dense tensors: tensor.detach().cpu(), .dequantize() or .to_dense() before torch.save.',
    );
  return new Refusal(
    'checkpoint-refused',
    `it asks for ${shown}, which no state dict needs. Nothing was run.`,
    hintFor(module.split('.')[0]!),
  );
}

function hintFor(root: string): string {
  if (['os', 'posix', 'nt', 'sys', 'subprocess', 'builtins', '__builtin__', 'runpy', 'socket'].includes(root))
    return 'Do not load this file in Python: unpickling it may run code of whoever made it.';
  if (root === 'numpy')
    return 'Turn numpy values into Python numbers (.item()) or tensors before torch.save.';
  return 'The file holds a Python object: save its state dict instead, torch.save({"model": model.state_dict()}).';
}

function neverCalled(name: string): () => never {
  return () => {
    throw new Refusal('checkpoint-refused', `it makes an object of ${name}; DermCap makes none.`);
  };
}

function badArguments(what: string): Refusal {
  return new Refusal('checkpoint-damaged', `it makes ${what} with arguments that do not fit.`);
}

function asTensor(data: Operand | undefined): TensorView {
  if (typeof data === 'object' && data !== null && 'strides' in data) return data;
  throw badArguments('a parameter');
}

function dictOf(items: Operand): Map<PickleValue, PickleValue> {
  if (items instanceof Map) return new Map(items);
  if (Array.isArray(items) && items.every(pair => Array.isArray(pair) && pair.length === 2))
    return new Map(items as [PickleValue, PickleValue][]);
  throw badArguments('a dict');
}

function dtypeOf(value: Operand | undefined): DType {
  const name = typeof value === 'string' ? value.replace(/^torch\./, '') : '';
  if (Object.hasOwn(DTYPE_SIZE, name)) return name as DType;
  throw new Refusal(
    'checkpoint-unsupported',
    `it holds a tensor of type ${name ? `torch.${printable(name)}` : 'unknown'}, which DermCap does not read.`,
  );
}

/** Bytes written as text: how protocol 2 writes Python's bytes. */
function latin1(text: Operand | undefined, encoding: Operand | undefined): Uint8Array {
  if (typeof text !== 'string' || (encoding !== 'latin1' && encoding !== 'latin-1'))
    throw badArguments('bytes');
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff) throw badArguments('bytes');
    bytes[i] = code;
  }
  return bytes;
}

function isNumbers(value: Operand | undefined): value is number[] {
  return Array.isArray(value) && value.every(item => typeof item === 'number');
}
