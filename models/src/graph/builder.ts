/**
 * A small graph builder: it knows ONNX and nothing of captioners. Values are names; every operator method
 * appends a node and returns the name of its result.
 */
import { attributeProto, ElementType, encodeModel, valueInfoProto } from './onnx.js';
import type { Attribute, GraphProto, NodeProto, TensorProto, ValueInfo } from './onnx.js';

/** The name of a tensor in a graph. */
export type Value = string;

/** A tensor lying contiguously in a file: what an ONNX external initializer points at. fp32 unless it says otherwise. */
export interface Weight {
  readonly file: string;
  /** In bytes. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly type?: 'float' | 'int8' | 'uint8';
}

export type Attributes = Record<string, Attribute>;

/** Folder that external locations are relative to: the file system's root, so that any file can be named. */
export const WEIGHT_ROOT = '/';

export class Graph {
  readonly inputs: ValueInfo[] = [];
  readonly outputs: ValueInfo[] = [];
  private readonly nodes: NodeProto[] = [];
  private readonly initializers: TensorProto[] = [];
  private readonly children: Graph[] = [];
  /** What this graph's own nodes give. */
  private readonly results = new Set<Value>();
  private readonly known = new Map<string, Value>();

  constructor(
    readonly name: string,
    /** Shared by a graph and the bodies inside it, so that no name is used twice. */
    private readonly counter = { next: 0 },
  ) {}

  /** A graph for the body of a `Loop` or `If`; it sees this graph's values by name. */
  child(name: string): Graph {
    const body = new Graph(name, this.counter);
    this.children.push(body);
    return body;
  }

  input(name: string, type: ElementType, shape: ValueInfo['shape']): Value {
    this.inputs.push({ name, type, shape });
    return name;
  }

  /** Declares `value` as an output, under its own name or a given one. */
  output(value: Value, type: ElementType, shape: ValueInfo['shape'], name?: string): void {
    if (name !== undefined) this.node('Identity', [value], [name]);
    this.outputs.push({ name: name ?? value, type, shape });
  }

  /** A weight read in place from its file. */
  weight({ file, offset, shape, type = 'float' }: Weight): Value {
    const bytes = (type === 'float' ? 4 : 1) * shape.reduce((a, b) => a * b, 1);
    return this.once(`${type} ${file}@${offset}:${shape.join('x')}`, 'w', name => ({
      name,
      dims: shape,
      dataType: ElementType[type],
      dataLocation: 1,
      externalData: [
        { key: 'location', value: file.slice(WEIGHT_ROOT.length) },
        { key: 'offset', value: String(offset) },
        { key: 'length', value: String(bytes) },
      ],
    }));
  }

  ints(values: readonly number[], shape: readonly number[] = [values.length]): Value {
    const data = BigInt64Array.from(values, BigInt);
    return this.constant(ElementType.int64, new Uint8Array(data.buffer), shape);
  }

  floats(values: ArrayLike<number>, shape: readonly number[] = [values.length]): Value {
    return this.constant(ElementType.float, new Uint8Array(Float32Array.from(values).buffer), shape);
  }

  int(value: number): Value {
    return this.ints([value], []);
  }

  float(value: number): Value {
    return this.floats([value], []);
  }

  /** A zero point: one byte, signed or not. */
  byte(value: number, type: 'int8' | 'uint8'): Value {
    return this.constant(ElementType[type], Uint8Array.of(value & 0xff), []);
  }

  bool(value: boolean): Value {
    return this.constant(ElementType.bool, Uint8Array.of(value ? 1 : 0), []);
  }

  op(type: string, inputs: readonly Value[], attributes: Attributes = {}): Value {
    return this.ops(type, inputs, 1, attributes)[0]!;
  }

  ops(type: string, inputs: readonly Value[], count: number, attributes: Attributes = {}): Value[] {
    const outputs = Array.from({ length: count }, () => this.fresh(type));
    this.node(type, inputs, outputs, attributes);
    return outputs;
  }

  /** One of onnxruntime's own operators (domain com.microsoft). An empty output name leaves it out. */
  microsoft(type: string, inputs: readonly Value[], attributes: Attributes = {}): Value {
    const output = this.fresh(type);
    this.node(type, inputs, [output], attributes, 'com.microsoft');
    return output;
  }

  node(
    type: string,
    inputs: readonly Value[],
    outputs: readonly Value[],
    attributes: Attributes = {},
    domain = '',
  ): void {
    for (const output of outputs) this.results.add(output);
    this.nodes.push({
      opType: type,
      domain,
      // Short: a provider's list of nodes may take 8,192 characters. Messages name the operator beside it.
      name: (this.counter.next++).toString(36),
      input: inputs,
      output: outputs,
      attribute: Object.entries(attributes).map(([name, value]) => attributeProto(name, value)),
    });
  }

  /** Whether a value is a result of this graph's nodes: only such a one may be an output as it is. */
  isResult(value: Value): boolean {
    return this.results.has(value);
  }

  /** A name that nothing else has. */
  fresh(stem: string): Value {
    return `${stem}_${this.counter.next++}`;
  }

  // Operators used all over, so that a forward pass reads as one.
  add(a: Value, b: Value): Value {
    return this.op('Add', [a, b]);
  }
  sub(a: Value, b: Value): Value {
    return this.op('Sub', [a, b]);
  }
  mul(a: Value, b: Value): Value {
    return this.op('Mul', [a, b]);
  }
  matmul(a: Value, b: Value): Value {
    return this.op('MatMul', [a, b]);
  }
  /** x @ wᵀ · alpha: a PyTorch `Linear` weight [out, in] as it lies in the file. */
  matmulTransposed(x: Value, w: Value, alpha = 1): Value {
    return this.microsoft('FusedMatMul', [x, w], { transB: { i: 1 }, alpha: { f: alpha } });
  }
  concat(values: readonly Value[], axis: number): Value {
    return values.length === 1 ? values[0]! : this.op('Concat', values, { axis: { i: axis } });
  }
  reshape(x: Value, shape: Value | readonly number[]): Value {
    return this.op('Reshape', [x, typeof shape === 'string' ? shape : this.ints(shape)]);
  }
  transpose(x: Value, perm: readonly number[]): Value {
    return this.op('Transpose', [x], { perm: { ints: perm } });
  }
  gather(x: Value, indices: Value, axis: number): Value {
    return this.op('Gather', [x, indices], { axis: { i: axis } });
  }
  gatherElements(x: Value, indices: Value, axis: number): Value {
    return this.op('GatherElements', [x, indices], { axis: { i: axis } });
  }
  unsqueeze(x: Value, ...axes: number[]): Value {
    return this.op('Unsqueeze', [x, this.ints(axes)]);
  }
  squeeze(x: Value, ...axes: number[]): Value {
    return this.op('Squeeze', [x, this.ints(axes)]);
  }
  expand(x: Value, shape: Value): Value {
    return this.op('Expand', [x, shape]);
  }
  /** x[…, from:to, …] along one axis; bounds are 1-element tensors or numbers. */
  slice(x: Value, from: Value | number, to: Value | number, axis: number): Value {
    const bound = (b: Value | number) => (typeof b === 'number' ? this.ints([b]) : b);
    return this.op('Slice', [x, bound(from), bound(to), this.ints([axis])]);
  }
  /** Size of one axis, as a 1-element int64 tensor. */
  size(x: Value, axis: number): Value {
    return this.op('Shape', [x], { start: { i: axis }, end: { i: axis + 1 } });
  }
  /** The k largest along the last axis, descending, with their indices. k is a 1-element tensor. */
  topK(x: Value, k: Value): [values: Value, indices: Value] {
    return this.ops('TopK', [x, k], 2, { axis: { i: -1 } }) as [Value, Value];
  }
  reduce(kind: 'Sum' | 'Max' | 'Min', x: Value, axis: number, keepdims = false): Value {
    return this.op(`Reduce${kind}`, [x, this.ints([axis])], { keepdims: { i: keepdims ? 1 : 0 } });
  }
  /**
   * Along the last axis. Over GPT-2's 50,257 tokens onnxruntime's ReduceLogSumExp is 6e-5 off, since it adds them up one
   * by one in fp32, and seven times slower.
   */
  logSoftmax(x: Value): Value {
    return this.op('LogSoftmax', [x], { axis: { i: -1 } });
  }
  cast(x: Value, type: ElementType): Value {
    return this.op('Cast', [x], { to: { i: ElementType[type] } });
  }
  /** [0, 1, …, n − 1] for a 1-element tensor n. */
  range(n: Value): Value {
    return this.op('Range', [this.int(0), this.squeeze(n, 0), this.int(1)]);
  }
  /** A tensor of one repeated value whose shape is computed. */
  filled(shape: Value, value: number, type: 'float' | 'int64' | 'bool'): Value {
    return this.op('ConstantOfShape', [shape], {
      value: { t: { dims: [1], dataType: ElementType[type], rawData: rawScalar(value, type) } },
    });
  }

  /** `If`: the results of one of two bodies. types: element type and rank of each result. */
  either(
    condition: Value,
    types: readonly (readonly [ElementType, number])[],
    whenTrue: (branch: Graph) => Value[],
    whenFalse: (branch: Graph) => Value[],
  ): Value[] {
    const body = (name: string, build: (branch: Graph) => Value[]): Attribute => {
      const branch = this.child(name);
      build(branch).forEach((value, i) => {
        const [type, rank] = types[i]!;
        const own = branch.isResult(value) ? undefined : branch.fresh(name);
        branch.output(value, type, Array<null>(rank).fill(null), own);
      });
      return { g: branch.toProto() };
    };
    return this.ops('If', [condition], types.length, {
      then_branch: body('then', whenTrue),
      else_branch: body('else', whenFalse),
    });
  }

  /** Names of the nodes, those in bodies too, whose operator is chosen. */
  nodeNames(isChosen: (operator: string) => boolean): string[] {
    const own = this.nodes.filter(node => isChosen(node.opType)).map(node => node.name);
    return [...own, ...this.children.flatMap(child => child.nodeNames(isChosen))];
  }

  /**
   * Rewrites products with a transposed matrix (`matmulTransposed`) into ONNX's own operators, here and in all
   * bodies: WebGPU has no FusedMatMul. What is transposed is a weight [out, in], or keys [B, H, slots, d].
   */
  withoutFusedMatMul(): this {
    const weights = new Set(this.initializers.map(({ name }) => name));
    const plain = this.nodes.flatMap(node => {
      if (node.opType !== 'FusedMatMul') return [node];
      const [x, w] = node.input as [Value, Value];
      const attributes = node.attribute as { name: string; f?: number }[];
      const alpha = attributes.find(({ name }) => name === 'alpha')!.f!;
      const own = new Graph(this.name, this.counter);
      const product = own.matmul(x, own.transpose(w, weights.has(w) ? [1, 0] : [0, 1, 3, 2]));
      own.node('Mul', [product, this.float(alpha)], node.output);
      return own.nodes;
    });
    this.nodes.splice(0, Infinity, ...plain);
    this.children.forEach(child => child.withoutFusedMatMul());
    return this;
  }

  toProto(): GraphProto {
    return {
      name: this.name,
      node: this.nodes,
      initializer: this.initializers,
      input: this.inputs.map(valueInfoProto),
      output: this.outputs.map(valueInfoProto),
    };
  }

  encode(): Uint8Array {
    return encodeModel(this.toProto());
  }

  private constant(dataType: number, rawData: Uint8Array, dims: readonly number[]): Value {
    const key = `c${dataType}[${dims.join()}]${Buffer.from(rawData).toString('latin1')}`;
    return this.once(key, 'c', name => ({ name, dims, dataType, rawData }));
  }

  private once(key: string, stem: string, make: (name: Value) => TensorProto): Value {
    let name = this.known.get(key);
    if (name === undefined) {
      name = this.fresh(stem);
      this.known.set(key, name);
      this.initializers.push(make(name));
    }
    return name;
  }
}

function rawScalar(value: number, type: 'float' | 'int64' | 'bool'): Uint8Array {
  if (type === 'bool') return Uint8Array.of(value);
  const array = type === 'float' ? Float32Array.of(value) : BigInt64Array.of(BigInt(value));
  return new Uint8Array(array.buffer);
}
