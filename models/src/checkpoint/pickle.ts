/**
 * A pickle machine that runs nothing: it knows the opcodes that plain data needs and asks its reader what a global
 * name stands for. Anything else in the stream ends the reading with a refusal that names it.
 *
 * Opcodes as documented in CPython's `pickletools`; protocols 2 to 5 (torch.save writes 2).
 */
import {
  MAX_GLOBAL_NAME_BYTES,
  MAX_MEMO_VALUES,
  MAX_PICKLE_BYTES,
  MAX_PICKLE_VALUES,
  MAX_STACK_VALUES,
  MAX_STRING_BYTES,
  TEXT_PER_VALUE,
} from './limits.js';
import { decodeText } from './pickleText.js';
import { checkTree } from './pickleTree.js';
import { Refusal, refusedIn } from './refusal.js';
import { kindOf, PickleFunction } from './values.js';
import type { Operand, PickleValue } from './values.js';

export type { PickleValue } from './values.js';

export interface PickleReader {
  /** For messages: the file, and which of its pickles. */
  readonly path: string;
  readonly record: string;
  /** @throws Refusal for every name that is not allowed */
  findGlobal(module: string, name: string): Operand;
  /** Resolves a persistent id. @throws Refusal */
  loadPersistent(id: Operand): Operand;
  /** Gives an object its state. @throws Refusal for every object that may have none */
  build(object: Operand, state: Operand): void;
}

const STOP = 0x2e;

/**
 * Reads one pickle.
 * @returns the value and the position behind it
 * @throws DermcapError `pickle-ended` when the bytes end before the pickle does; `checkpoint-refused` for what may
 *   not be in a checkpoint; `checkpoint-damaged` | `checkpoint-limit`
 */
export function unpickle(
  bytes: Uint8Array,
  begin: number,
  reader: PickleReader,
): { value: PickleValue; end: number } {
  const machine = new Machine(bytes, begin, reader);
  try {
    if (bytes.length - begin > MAX_PICKLE_BYTES)
      throw new Refusal('checkpoint-limit', `the pickle is longer than ${MAX_PICKLE_BYTES} bytes.`);
    const value = machine.run();
    checkTree(value);
    return { value: value as PickleValue, end: machine.at };
  } catch (error) {
    if (error instanceof Refusal)
      throw refusedIn(reader.path, `${reader.record}, byte ${machine.opcodeAt}`, error);
    throw error;
  }
}

class Machine {
  at: number;
  /** Where the running opcode stands, for messages. */
  opcodeAt: number;
  private readonly view: DataView;
  private made = 0;
  private readonly stack: Operand[] = [];
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, Operand>();

  constructor(
    private readonly bytes: Uint8Array,
    begin: number,
    private readonly reader: PickleReader,
  ) {
    this.at = begin;
    this.opcodeAt = begin;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): Operand {
    for (;;) {
      this.opcodeAt = this.at;
      const opcode = this.byte();
      if (opcode === STOP) break;
      this.step(opcode);
    }
    const value = this.pop();
    if (this.stack.length > 0 || this.marks.length > 0)
      throw new Refusal('checkpoint-damaged', 'the pickle leaves values behind.');
    return value;
  }

  private step(opcode: number): void {
    switch (opcode) {
      case 0x80: // PROTO
        return this.protocol(this.byte());
      case 0x95: // FRAME: a hint for streaming readers
        this.skip(8);
        return;

      case 0x4e: // NONE
        return this.push(null);
      case 0x88: // NEWTRUE
        return this.push(true);
      case 0x89: // NEWFALSE
        return this.push(false);
      case 0x4a: // BININT
        return this.push(this.view.getInt32(this.skip(4), true));
      case 0x4b: // BININT1
        return this.push(this.byte());
      case 0x4d: // BININT2
        return this.push(this.view.getUint16(this.skip(2), true));
      case 0x8a: // LONG1
        return this.push(this.long(this.byte()));
      case 0x47: // BINFLOAT, big-endian
        return this.push(this.view.getFloat64(this.skip(8)));

      case 0x58: // BINUNICODE
        return this.push(decodeText(this.string(this.uint32())));
      case 0x8c: // SHORT_BINUNICODE
        return this.push(decodeText(this.string(this.byte())));
      case 0x8d: // BINUNICODE8
        return this.push(decodeText(this.string(this.uint64())));
      case 0x54: // BINSTRING: Python 2's str, text in every checkpoint
        return this.push(decodeText(this.string(this.uint32())));
      case 0x55: // SHORT_BINSTRING
        return this.push(decodeText(this.string(this.byte())));
      case 0x42: // BINBYTES
        return this.push(this.string(this.uint32()).slice());
      case 0x43: // SHORT_BINBYTES
        return this.push(this.string(this.byte()).slice());
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        return this.push(this.string(this.uint64()).slice());

      case 0x28: // MARK
        if (this.marks.length >= MAX_STACK_VALUES) throw tooDeep();
        this.marks.push(this.stack.length);
        return;
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        return this.push([]);
      case 0x7d: // EMPTY_DICT
        return this.push(new Map());
      case 0x8f: // EMPTY_SET
        return this.push(new Set());
      case 0x74: // TUPLE
        return this.push(this.popMark() as PickleValue[]);
      case 0x85: // TUPLE1
        return this.tuple(1);
      case 0x86: // TUPLE2
        return this.tuple(2);
      case 0x87: // TUPLE3
        return this.tuple(3);
      case 0x91: // FROZENSET
        return this.push(new Set(this.popMark() as PickleValue[]));
      case 0x61: // APPEND
        return this.append([this.pop()]);
      case 0x65: // APPENDS
        return this.append(this.popMark());
      case 0x90: // ADDITEMS
        return this.addItems(this.popMark());
      case 0x73: // SETITEM
        return this.setItems([this.pop(), this.pop()].reverse());
      case 0x75: // SETITEMS
        return this.setItems(this.popMark());

      case 0x71: // BINPUT
        return this.remember(this.byte());
      case 0x72: // LONG_BINPUT
        return this.remember(this.uint32());
      case 0x94: // MEMOIZE
        return this.remember(this.memo.size);
      case 0x68: // BINGET
        return this.recall(this.byte());
      case 0x6a: // LONG_BINGET
        return this.recall(this.uint32());

      case 0x63: // GLOBAL
        return this.push(this.reader.findGlobal(this.line(), this.line()));
      case 0x93: {
        // STACK_GLOBAL
        const name = this.pop();
        const module = this.pop();
        if (typeof name !== 'string' || typeof module !== 'string')
          throw new Refusal('checkpoint-damaged', 'a global has no name.');
        return this.push(this.reader.findGlobal(module, name));
      }
      case 0x51: // BINPERSID
        return this.push(this.reader.loadPersistent(this.pop()));
      case 0x52: {
        // REDUCE
        const args = this.pop();
        const target = this.pop();
        if (!(target instanceof PickleFunction))
          throw new Refusal('checkpoint-refused', `it calls ${kindOf(target)}, which is no function.`);
        if (!Array.isArray(args))
          throw new Refusal(
            'checkpoint-damaged',
            `it calls ${target.name} with ${kindOf(args)} for arguments.`,
          );
        this.charge(extent(args, 3));
        return this.push(target.call(args));
      }
      case 0x62: {
        // BUILD
        const state = this.pop();
        return this.reader.build(this.top(), state);
      }
      case 0x81: // NEWOBJ
        this.pop();
        throw makesObject(this.pop());
      case 0x92: // NEWOBJ_EX
        this.pop();
        this.pop();
        throw makesObject(this.pop());
    }
    throw new Refusal(
      'checkpoint-refused',
      `it uses the pickle opcode 0x${opcode.toString(16).padStart(2, '0')}, which plain data has no need of.`,
      'If this file comes from torch.save, it is damaged or was saved with an unusual pickle module.',
    );
  }

  private protocol(version: number): void {
    if (version < 2 || version > 5)
      throw new Refusal(
        'checkpoint-unsupported',
        `it is a pickle of protocol ${version}; 2 to 5 are read.`,
        'Save it with torch.save and its default pickle_protocol.',
      );
  }

  private push(value: Operand): void {
    if (this.stack.length >= MAX_STACK_VALUES) throw tooDeep();
    this.charge(1);
    this.stack.push(value);
  }

  /** Counts values made or handed to a function: a few bytes can have a long list copied over and over. */
  private charge(values: number): void {
    this.made += values;
    if (this.made > MAX_PICKLE_VALUES)
      throw new Refusal('checkpoint-limit', `it makes more than ${MAX_PICKLE_VALUES} values.`);
  }

  /** The lowest index of the stack that may be used: what lies below the last mark is not ours. */
  private floor(): number {
    return this.marks.at(-1) ?? 0;
  }

  private pop(): Operand {
    this.top();
    return this.stack.pop()!;
  }

  private top(): Operand {
    if (this.stack.length <= this.floor())
      throw new Refusal('checkpoint-damaged', 'the pickle takes a value that is not there.');
    return this.stack[this.stack.length - 1]!;
  }

  private popMark(): Operand[] {
    const mark = this.marks.pop();
    if (mark === undefined) throw new Refusal('checkpoint-damaged', 'the pickle ends a list it never began.');
    return this.stack.splice(mark);
  }

  private tuple(length: number): void {
    if (this.stack.length - length < this.floor())
      throw new Refusal('checkpoint-damaged', 'the pickle takes a value that is not there.');
    this.push(this.stack.splice(this.stack.length - length) as PickleValue[]);
  }

  private append(items: Operand[]): void {
    const list = this.top();
    if (!Array.isArray(list))
      throw new Refusal('checkpoint-refused', `it appends to ${kindOf(list)}, which is no list.`);
    for (const item of items) list.push(item as PickleValue);
  }

  private addItems(items: Operand[]): void {
    const set = this.top();
    if (!(set instanceof Set))
      throw new Refusal('checkpoint-refused', `it adds to ${kindOf(set)}, which is no set.`);
    for (const item of items) set.add(item as PickleValue);
  }

  private setItems(items: Operand[]): void {
    const dict = this.top();
    if (!(dict instanceof Map))
      throw new Refusal('checkpoint-refused', `it sets items of ${kindOf(dict)}, which is no dict.`);
    if (items.length % 2 !== 0) throw new Refusal('checkpoint-damaged', 'a key has no value.');
    for (let i = 0; i < items.length; i += 2) {
      dict.set(items[i] as PickleValue, items[i + 1] as PickleValue);
    }
  }

  private remember(index: number): void {
    if (this.memo.size >= MAX_MEMO_VALUES)
      throw new Refusal('checkpoint-limit', `it remembers more than ${MAX_MEMO_VALUES} values.`);
    this.memo.set(index, this.top());
  }

  private recall(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined)
      throw new Refusal('checkpoint-damaged', `the pickle recalls value ${index}, which it never stored.`);
    this.push(value);
  }

  /** Takes `length` bytes and returns where they begin. */
  private skip(length: number): number {
    const begin = this.at;
    if (length > this.bytes.length - begin)
      throw new Refusal('pickle-ended', 'the pickle is truncated: its bytes end before it does.');
    this.at = begin + length;
    return begin;
  }

  private byte(): number {
    return this.bytes[this.skip(1)]!;
  }

  private uint32(): number {
    return this.view.getUint32(this.skip(4), true);
  }

  private uint64(): number {
    return Number(this.view.getBigUint64(this.skip(8), true));
  }

  private string(length: number): Uint8Array {
    if (length > MAX_STRING_BYTES)
      throw new Refusal(
        'checkpoint-limit',
        `a text has ${length} bytes; at most ${MAX_STRING_BYTES} are read.`,
      );
    const begin = this.skip(length);
    return this.bytes.subarray(begin, begin + length);
  }

  /** Text up to a newline: half of a global's name. */
  private line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    const length = (end < 0 ? this.bytes.length : end) - this.at;
    if (length > MAX_GLOBAL_NAME_BYTES)
      throw new Refusal('checkpoint-limit', 'a global has an endless name.');
    const begin = this.skip(length + 1);
    return decodeText(this.bytes.subarray(begin, begin + length));
  }

  /** Two's complement, little-endian. */
  private long(length: number): number | bigint {
    const begin = this.skip(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[begin + i]!);
    value = BigInt.asIntN(8 * length, value);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
}

/** How many values a function may have to look at or copy: arguments, their items, and theirs. */
function extent(value: Operand, levels: number): number {
  if (typeof value === 'string' || value instanceof Uint8Array) return 1 + value.length / TEXT_PER_VALUE;
  if (value instanceof Map) return 1 + value.size;
  if (!Array.isArray(value)) return 1;
  if (levels === 1) return 1 + value.length;
  return value.reduce((sum: number, item) => sum + extent(item, levels - 1), 1);
}

function makesObject(target: Operand): Refusal {
  return new Refusal(
    'checkpoint-refused',
    `it makes an object of ${kindOf(target)}; a checkpoint needs none, and DermCap makes none.`,
    'Save the state dict (plain tensors and values), not objects.',
  );
}

function tooDeep(): Refusal {
  return new Refusal('checkpoint-limit', `more than ${MAX_STACK_VALUES} values wait on its stack.`);
}
