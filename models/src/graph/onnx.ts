/**
 * ONNX model files as protobuf messages: the part of onnx.proto (IR version 10) that our graphs use.
 * Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
 */
import protobuf from 'protobufjs';

/** TensorProto.DataType */
export const ElementType = { float: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bool: 9, double: 11 } as const;
export type ElementType = keyof typeof ElementType;

/** AttributeProto.AttributeType */
const AttributeType = { f: 1, i: 2, s: 3, t: 4, g: 5, ints: 7 } as const;

export interface TensorProto {
  name?: string;
  dims: readonly number[];
  dataType: number;
  rawData?: Uint8Array;
  externalData?: { key: string; value: string }[];
  /** 1 = EXTERNAL */
  dataLocation?: number;
}

/** One attribute value; exactly one field is set, and its name decides the attribute's type. */
export type Attribute =
  | { f: number }
  | { i: number }
  | { s: string }
  | { t: TensorProto }
  | { g: GraphProto }
  | { ints: readonly number[] };

export interface NodeProto {
  opType: string;
  domain?: string;
  name: string;
  input: readonly string[];
  output: readonly string[];
  attribute: object[];
}

export interface ValueInfo {
  name: string;
  type: ElementType;
  /** A number fixes a dimension, a string names it, null leaves it open. */
  shape: readonly (number | string | null)[];
}

export interface GraphProto {
  name: string;
  node: NodeProto[];
  initializer: TensorProto[];
  input: object[];
  output: object[];
}

const field = (type: string, id: number, repeated = false) =>
  repeated ? { type, id, rule: 'repeated' } : { type, id };

const schema = protobuf.Root.fromJSON({
  nested: {
    ModelProto: {
      fields: {
        irVersion: field('int64', 1),
        producerName: field('string', 2),
        graph: field('GraphProto', 7),
        opsetImport: field('OperatorSetIdProto', 8, true),
      },
    },
    OperatorSetIdProto: { fields: { domain: field('string', 1), version: field('int64', 2) } },
    GraphProto: {
      fields: {
        node: field('NodeProto', 1, true),
        name: field('string', 2),
        initializer: field('TensorProto', 5, true),
        input: field('ValueInfoProto', 11, true),
        output: field('ValueInfoProto', 12, true),
      },
    },
    NodeProto: {
      fields: {
        input: field('string', 1, true),
        output: field('string', 2, true),
        name: field('string', 3),
        opType: field('string', 4),
        attribute: field('AttributeProto', 5, true),
        domain: field('string', 7),
      },
    },
    AttributeProto: {
      fields: {
        name: field('string', 1),
        f: field('float', 2),
        i: field('int64', 3),
        s: field('bytes', 4),
        t: field('TensorProto', 5),
        g: field('GraphProto', 6),
        ints: field('int64', 8, true),
        type: field('int32', 20),
      },
    },
    TensorProto: {
      fields: {
        dims: field('int64', 1, true),
        dataType: field('int32', 2),
        name: field('string', 8),
        rawData: field('bytes', 9),
        externalData: field('StringStringEntryProto', 13, true),
        dataLocation: field('int32', 14),
      },
    },
    StringStringEntryProto: { fields: { key: field('string', 1), value: field('string', 2) } },
    ValueInfoProto: { fields: { name: field('string', 1), type: field('TypeProto', 2) } },
    TypeProto: { fields: { tensorType: field('TensorTypeProto', 1) } },
    TensorTypeProto: { fields: { elemType: field('int32', 1), shape: field('TensorShapeProto', 2) } },
    TensorShapeProto: { fields: { dim: field('Dimension', 1, true) } },
    Dimension: { fields: { dimValue: field('int64', 1), dimParam: field('string', 2) } },
  },
});
const ModelProto = schema.lookupType('ModelProto');

export function attributeProto(name: string, value: Attribute): object {
  const kind = Object.keys(value)[0] as keyof typeof AttributeType;
  const encoded = 's' in value ? { s: new TextEncoder().encode(value.s) } : value;
  return { name, type: AttributeType[kind], ...encoded };
}

export function valueInfoProto({ name, type, shape }: ValueInfo): object {
  const dim = shape.map(size =>
    size === null ? {} : typeof size === 'number' ? { dimValue: size } : { dimParam: size },
  );
  return { name, type: { tensorType: { elemType: ElementType[type], shape: { dim } } } };
}

/** Serialises a graph as an ONNX model (opset 21 plus onnxruntime's com.microsoft operators). */
export function encodeModel(graph: GraphProto): Uint8Array {
  return ModelProto.encode({
    irVersion: 10,
    producerName: 'dermcap',
    opsetImport: [
      { domain: '', version: 21 },
      { domain: 'com.microsoft', version: 1 },
    ],
    graph,
  }).finish();
}
