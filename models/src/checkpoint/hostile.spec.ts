import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DermcapError } from '../errors.js';
import { MAX_DIMENSIONS, MAX_STRING_BYTES, MAX_ZIP_ENTRIES } from './limits.js';
import { readCheckpoint } from './open.js';
import { unpickle } from './pickle.js';
import { isTensorView } from './read.js';
import { StorageTable } from './storages.js';
import { DTYPE_SIZE, elementCount } from './tensor.js';
import { SparseSource, fixture } from './testSources.js';
import { global, int, latin1, pickle, tensorPickle, text, torchZip, tuple } from './testWriters.js';
import type { TestTensor } from './testWriters.js';
import { torchGlobals } from './torchGlobals.js';
import type { PickleValue } from './values.js';

/** No case may take longer, on a busy machine. */
const LONGEST_MS = 2000;

/** Opens, or fails with a sentence; nothing else. What opens has every tensor inside the file. */
async function survives(bytes: Uint8Array): Promise<void> {
  const began = performance.now();
  try {
    const { root } = await readCheckpoint(SparseSource.of(bytes));
    for (const view of tensors(root)) {
      const last = view.shape.reduce((at, n, axis) => at + (n - 1) * view.strides[axis]!, 0);
      const end = elementCount(view.shape) === 0 ? 0 : (last + 1) * DTYPE_SIZE[view.dtype];
      expect(view.offset).toBeGreaterThanOrEqual(0);
      expect(view.offset + end).toBeLessThanOrEqual(bytes.length);
    }
  } catch (error) {
    if (!(error instanceof DermcapError)) throw error;
    expect(error.message).toMatch(/^\/test\/checkpoint\.pt.*\.$/s);
  }
  expect(performance.now() - began).toBeLessThan(LONGEST_MS);
}

function* tensors(value: PickleValue): Generator<Extract<PickleValue, { strides: unknown }>> {
  if (isTensorView(value)) yield value;
  else if (Array.isArray(value) || value instanceof Set) for (const item of value) yield* tensors(item);
  else if (value instanceof Map) for (const item of value.values()) yield* tensors(item);
}

describe('a damaged file', () => {
  const files = [
    'release.pt',
    'protocol4.pt',
    'release_legacy.pt',
    'strided.pt',
    'strided_legacy.pt',
    'zip64.pt',
    'legacy_view.pt',
    'tensors.safetensors',
  ];
  it.each(files)('opens or is refused with a sentence, however %s is damaged', async name => {
    const whole = new Uint8Array(await readFile(fixture(`good/${name}`)));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
        fc.option(fc.nat(whole.length), { freq: 4 }),
        fc.option(fc.tuple(fc.nat(whole.length), fc.nat(40)), { freq: 4 }),
        async (changes, cut, hole) => {
          let bytes = whole.slice();
          for (const [at, byte] of changes) bytes[at] = byte;
          if (hole !== null) {
            const [begin, length] = hole;
            bytes = Uint8Array.from([...bytes.subarray(0, begin), ...bytes.subarray(begin + length)]);
          }
          await survives(cut === null ? bytes : bytes.subarray(0, cut));
        },
      ),
      { numRuns: 400 },
    );
  });

  it('survives every single bit of its directory and headers', async () => {
    const whole = new Uint8Array(await readFile(fixture('good/plain.pt')));
    for (let at = 0; at < whole.length; at++)
      for (const bit of [1, 128]) {
        const bytes = whole.slice();
        bytes[at]! ^= bit;
        await survives(bytes);
      }
  });
});

describe('any pickle', () => {
  const fragments = [
    ...['N', '\x88', '\x89', 'K\x05', 'M\x05\x00', '}', ']', ')', '\x8f', '(', 't', '\x85', '\x86', '\x87'],
    ...[
      'a',
      'e',
      's',
      'u',
      'R',
      'b',
      'Q',
      '\x81',
      '\x90',
      '\x91',
      '\x93',
      '\x94',
      'q\x00',
      'q\x01',
      'h\x00',
      'h\x01',
    ],
    ...[
      'U\x02ab',
      'C\x02ab',
      '\x8c\x02ab',
      '\x8a\x01\xff',
      '\x8a\x00',
      'G\x7f\xf0\0\0\0\0\0\0',
      '.',
      '\x80\x04',
    ],
  ].map(latin1);
  const names = [
    ...['OrderedDict', 'Counter'].map(name => global('collections', name)),
    ...['_rebuild_tensor', '_rebuild_tensor_v2', '_rebuild_tensor_v3', '_rebuild_parameter'].map(name =>
      global('torch._utils', name),
    ),
    ...['FloatStorage', 'UntypedStorage', 'Size', 'device', 'Tensor', 'float32'].map(name =>
      global('torch', name),
    ),
    ...['set', 'bytearray', 'complex'].map(name => global('__builtin__', name)),
    global('torch._tensor', '_rebuild_from_type_v2'),
    global('_codecs', 'encode'),
    global('os', 'system'),
  ];
  const storage = [
    ...[latin1('('), text('storage'), global('torch', 'FloatStorage'), text('0'), text('cpu'), int(4)],
    latin1('tQ'),
  ];
  const values = [
    ...storage,
    int(-1),
    int(2 ** 52),
    tuple([int(2), int(2)]),
    tuple([int(2), int(1)]),
    text('latin1'),
  ];

  const reads = (bytes: Uint8Array) => {
    const began = performance.now();
    const storages = new StorageTable('/test/checkpoint.pt');
    try {
      unpickle(bytes, 0, {
        path: '/test/checkpoint.pt',
        record: 'data.pkl',
        ...torchGlobals(storages),
        loadPersistent: () => storages.declare({ key: '0', dtype: 'float32', elements: 4 }),
      });
    } catch (error) {
      if (!(error instanceof DermcapError)) throw error;
    }
    expect(performance.now() - began).toBeLessThan(LONGEST_MS);
  };

  it('of plausible opcodes is read or refused with a sentence', () => {
    const piece = fc.oneof(
      { weight: 5, arbitrary: fc.constantFrom(...fragments) },
      { weight: 2, arbitrary: fc.constantFrom(...names) },
      { weight: 2, arbitrary: fc.constantFrom(...values) },
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), pieces => reads(pickle(...pieces))),
      { numRuns: 5000 },
    );
  });

  it('of any bytes is read or refused with a sentence', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), bytes => reads(pickle(bytes))),
      { numRuns: 3000 },
    );
  });
});

describe('a tensor outside its storage', () => {
  const honest: TestTensor = { name: 'w', key: '0', elements: 6, offset: 0, shape: [2, 3], strides: [3, 1] };
  const opening = (tensor: Partial<TestTensor>, storageBytes = 24) => {
    const { byteLength, pieces } = torchZip([
      { name: 'archive/data.pkl', content: tensorPickle([{ ...honest, ...tensor }]) },
      { name: 'archive/data/0', content: storageBytes },
    ]);
    return readCheckpoint(new SparseSource(byteLength, pieces));
  };

  it('opens when it fits', async () => {
    expect(isTensorView(((await opening({})).root as Map<string, PickleValue>).get('w'))).toBe(true);
  });

  it.each<[string, Partial<TestTensor>]>([
    ['a shape too large', { shape: [2, 4], strides: [4, 1] }],
    ['an offset too large', { offset: 1 }],
    ['a negative offset', { offset: -1 }],
    ['a negative size', { shape: [-2, 3] }],
    ['a negative stride', { strides: [-3, 1], offset: 3 }],
    ['a stride too large', { strides: [4, 1] }],
    ['sizes whose product overflows', { shape: [2 ** 40, 2 ** 40], strides: [2 ** 40, 1] }],
    ['strides whose product overflows', { shape: [2, 2 ** 32], strides: [3, 2 ** 32] }],
    ['more axes than strides', { shape: [2, 3, 1] }],
    ['a storage longer than its record', { elements: 7 }],
    ['a storage of negative length', { elements: -6 }],
    ['a storage of overflowing length', { elements: 2 ** 52 }],
    [
      'an empty one with an impossible shape',
      { shape: [...Array<number>(30).fill(2 ** 50), 0], strides: Array<number>(31).fill(1) },
    ],
    ['an empty one beyond the storage', { shape: [0], strides: [1], offset: 7 }],
  ])('is refused: %s', async (_, tensor) => {
    await expect(opening(tensor)).rejects.toMatchObject({ code: 'checkpoint-damaged' });
  });

  it.each<[string, Partial<TestTensor>]>([
    ['values repeated without end', { shape: [2 ** 20, 2 ** 20], strides: [0, 0] }],
    [
      'too many axes',
      {
        shape: Array<number>(MAX_DIMENSIONS + 1).fill(1),
        strides: Array<number>(MAX_DIMENSIONS + 1).fill(1),
      },
    ],
  ])('is refused: %s', async (_, tensor) => {
    await expect(opening(tensor)).rejects.toMatchObject({ code: 'checkpoint-limit' });
  });

  it('is refused when the record is missing', async () => {
    await expect(opening({ key: '1' })).rejects.toThrow(/record archive\/data\/1 of a tensor is missing/);
  });
});

describe('a pickle beyond the limits', () => {
  const reading = (...opcodes: (string | Uint8Array)[]) => {
    const storages = new StorageTable('/test/checkpoint.pt');
    return () =>
      unpickle(pickle(...opcodes), 0, {
        path: '/test/checkpoint.pt',
        record: 'data.pkl',
        ...torchGlobals(storages),
        loadPersistent: () => null,
      });
  };

  it('is refused for a text longer than allowed, before its bytes are there', () => {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, MAX_STRING_BYTES + 1, true);
    expect(reading('X', length)).toThrow(/at most 10000000 are read/);
  });

  it('is refused for values on its stack without end', () => {
    expect(reading(new Uint8Array(2_000_001).fill(0x4e))).toThrow(/wait on its stack/);
    expect(reading(new Uint8Array(2_000_001).fill(0x28))).toThrow(/wait on its stack/);
  });

  it('is refused for values without end', () => {
    expect(
      reading(
        ']',
        new Uint8Array(8_000_000).map((_, i) => (i % 2 === 0 ? 0x5d : 0x61)),
      ),
    ).toThrow(/makes more than 4000000 values/);
  });

  it.each([
    ['bytes', [global('builtins', 'bytearray'), text('a'.repeat(1e6)), text('latin1'), '\x86']],
    ['a list', [global('builtins', 'set'), '(', new Uint8Array(1e5).fill(0x4e), 't', '\x85']],
    ['a shape', [global('torch', 'Size'), '(', 'K\x07'.repeat(1e5), 't', '\x85']],
  ] as [string, (string | Uint8Array)[]][])(
    'is refused for %s copied over and over',
    (_, [make, ...args]) => {
      const copy = new Uint8Array(5 * 1000).map((_, i) => latin1('h\x00h\x01R')[i % 5]!);
      const began = performance.now();
      expect(reading(make!, 'q\x00', ...args, 'q\x01', 'R', copy)).toThrow(/makes more than 4000000 values/);
      expect(performance.now() - began).toBeLessThan(LONGEST_MS);
    },
  );

  it('is refused for bytes from text that has none', () => {
    const encode = [global('_codecs', 'encode'), text('≤'), text('latin1'), '\x86', 'R'];
    expect(reading(...encode)).toThrow(/makes bytes with arguments that do not fit/);
  });

  it.each([
    ['a tensor', [global('torch._utils', '_rebuild_tensor_v2'), ')', 'R']],
    ['a parameter', [global('torch._utils', '_rebuild_parameter'), 'N\x85', 'R']],
    ['a dict', [global('collections', 'OrderedDict'), 'K\x01\x85', 'R']],
    ['torch.Size', [global('torch', 'Size'), text('ab'), '\x85', 'R']],
    ['torch.device', [global('torch', 'device'), 'N\x85', 'R']],
    ['set', [global('__builtin__', 'set'), 'N\x85', 'R']],
    ['complex', [global('__builtin__', 'complex'), text('1'), '\x85', 'R']],
    [
      'torch._tensor._rebuild_from_type_v2',
      [
        global('torch._tensor', '_rebuild_from_type_v2'),
        'q\x00(h\x00',
        global('torch', 'Tensor'),
        ')Nt',
        'R',
      ],
    ],
  ] as [string, (string | Uint8Array)[]][])('is refused for %s with other arguments', (what, opcodes) => {
    expect(reading(...opcodes)).toThrow(`makes ${what} with arguments that do not fit`);
  });

  it('is refused for a global with an endless name', () => {
    expect(reading('c' + 'a'.repeat(1000))).toThrow(/endless name/);
  });

  it.each([
    ['a recall of what was never stored', ['h\x05'], /recalls value 5/],
    ['a tuple that was never begun', ['t'], /never began/],
    ['a value taken from an empty stack', ['a'], /not there/],
    ['a value taken from below a mark', ['N', '(', 'R'], /not there/],
    ['a call of what is no function', ['N', ')', 'R'], /calls None/],
    ['an append to a dict', ['}', 'N', 'a'], /appends to a dict/],
    ['items set in a list', [']', 'N', 'N', 's'], /sets items of a list/],
    ['a dict as a key', ['}', '}', 'N', 's'], /a dict is the key/],
    ['BUILD on a plain dict', ['}', '}', 'b'], /BUILD\) of a dict/],
    ['NEWOBJ', [global('torch', 'Tensor'), ')', '\x81'], /makes an object of torch\.Tensor/],
    ['a class called', [global('torch', 'FloatStorage'), ')', 'R'], /makes an object of torch\.FloatStorage/],
    ['the opcode INST', ['(i'], /opcode 0x69/],
    ['the opcode for extensions', ['\x82\x01'], /opcode 0x82/],
    ['protocol 0', ['\x80\x00'], /protocol 0/],
    ['values left behind', ['N', 'N'], /leaves values behind/],
    ['text that is not UTF-8', ['U\x01\xff'], /not UTF-8/],
  ] as [string, (string | Uint8Array)[], RegExp][])('is refused for %s', (_, opcodes, says) => {
    expect(reading(...opcodes)).toThrow(says);
  });

  it('names a global from the prototype of objects like any other', () => {
    expect(reading(global('torch', 'constructor'))).toThrow(/asks for torch\.constructor/);
    expect(reading(global('torch._utils', '__proto__'))).toThrow(/asks for torch\._utils\.__proto__/);
  });

  it('keeps keys such as __proto__ as plain keys', () => {
    const { value } = reading('}', text('__proto__'), '\x88', 's')();
    expect([...(value as Map<string, boolean>)]).toEqual([['__proto__', true]]);
  });
});

describe('a zip beyond the limits', () => {
  const edited = async (edit: (view: DataView, end: number) => void) => {
    const bytes = new Uint8Array(await readFile(fixture('good/plain.pt')));
    edit(new DataView(bytes.buffer), bytes.length - 22);
    return readCheckpoint(SparseSource.of(bytes));
  };

  it('is refused for its number of records', async () => {
    const many = edited((view, end) => {
      view.setUint16(end + 10, 0xffff, true);
      view.setBigUint64(end - 20 - 56 + 32, BigInt(MAX_ZIP_ENTRIES + 1), true);
    });
    await expect(many).rejects.toMatchObject({ code: 'checkpoint-limit' });
  });

  it('is refused when its two ends contradict each other', async () => {
    const two = edited((view, end) => view.setUint16(end + 10, 1, true));
    await expect(two).rejects.toThrow(/contradict/);
  });

  it('is refused for two records of one name', async () => {
    const record = { name: 'archive/data.pkl', content: pickle('N') };
    const { byteLength, pieces } = torchZip([record, record]);
    await expect(readCheckpoint(new SparseSource(byteLength, pieces))).rejects.toThrow(/two records called/);
  });

  it('is refused when a header is not where the directory says', async () => {
    const { byteLength, pieces } = torchZip([{ name: 'archive/data.pkl', content: pickle('N') }]);
    pieces[0]![1][30] = 0x62;
    await expect(readCheckpoint(new SparseSource(byteLength, pieces))).rejects.toThrow(
      /header of archive\/data.pkl/,
    );
  });
});

describe('a safetensors file', () => {
  const opening = (header: unknown, dataBytes: number) => {
    const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
    const bytes = new Uint8Array(8 + json.length + dataBytes);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
    bytes.set(json, 8);
    return readCheckpoint(SparseSource.of(bytes));
  };
  const entry = (begin: number, end: number, shape = [2], dtype = 'F32') => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  });

  it('opens when its ranges fit', async () => {
    const { root } = await opening({ b: entry(8, 16), a: entry(0, 8) }, 16);
    expect([...(root as Map<string, PickleValue>).keys()]).toEqual(['b', 'a']);
  });

  it.each<[string, unknown, number, RegExp]>([
    ['a range beyond the file', { a: entry(0, 8) }, 7, /truncated/],
    ['a range that does not fit the shape', { a: entry(0, 8, [3]) }, 8, /does not fit its shape/],
    ['a shape that overflows', { a: entry(0, 8, [2 ** 52, 2 ** 52]) }, 8, /does not fit its shape/],
    ['a negative size', { a: entry(0, 8, [-1, -2]) }, 8, /impossible shape/],
    ['a range that ends before it begins', { a: entry(8, 0) }, 8, /does not fit/],
    ['an overlap', { a: entry(0, 8), b: entry(4, 12) }, 12, /gap or an overlap/],
    ['a gap', { a: entry(0, 8), b: entry(12, 20) }, 20, /gap or an overlap/],
    ['bytes of no tensor', { a: entry(0, 8) }, 9, /belong to no tensor/],
    ['a type that is not read', { a: entry(0, 2, [2], 'F8_E4M3') }, 2, /type F8_E4M3/],
    ['a type from the prototype', { a: entry(0, 8, [2], 'constructor') }, 8, /type constructor/],
    ['metadata that is no text', { __metadata__: { a: 1 } }, 0, /__metadata__/],
    ['a header that is not JSON', '{"a": ', 0, /not JSON/],
    ['an entry that is no object', { a: 1 }, 0, /no dtype/],
  ])('is refused for %s', async (_, header, dataBytes, says) => {
    await expect(opening(header, dataBytes)).rejects.toThrow(says);
  });

  it('is refused for a header longer than allowed', async () => {
    const bytes = new Uint8Array(100).fill(0x20);
    new DataView(bytes.buffer).setBigUint64(0, 1n << 30n, true);
    bytes[8] = 0x7b;
    await expect(readCheckpoint(SparseSource.of(bytes))).rejects.toMatchObject({ code: 'checkpoint-limit' });
  });
});
