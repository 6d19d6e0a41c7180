/**
 * The OpenAPI 3.1 description of the API, generated from the contract's schemas.
 */
import { z } from 'zod';
import * as contract from '../contract/index.js';
import { OPERATIONS, type Operation } from './operations.js';

const ID = { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER };

/** Schemas of the parts of a path; any other is a string. */
const PATH_PARAMETERS: Record<string, object> = {
  study: { type: 'string', pattern: '^[A-Za-z0-9_-]{2,5000}$' },
  image: ID,
  assignment: ID,
  item: ID,
};

/** The whole document. Request fields with a default are optional in it. */
export function openApiDocument(version: string): object {
  const paths = Object.fromEntries(
    Object.entries(OPERATIONS).map(([path, methods]) => [
      path,
      Object.fromEntries(
        Object.entries(methods).map(([method, operation]) => [method, describe(path, method, operation)]),
      ),
    ]),
  );
  return {
    openapi: '3.1.0',
    info: {
      title: 'DermCap',
      version,
      description:
        'Captions of dermatology images by two stages of a captioner. Research use only, not for clinical use.',
    },
    servers: [{ url: '/api' }],
    paths,
    components: {
      schemas: componentSchemas(Object.values(OPERATIONS).flatMap(methods => Object.values(methods))),
    },
  };
}

function describe(path: string, method: string, operation: Operation): object {
  const success =
    operation.answer === null
      ? {}
      : {
          content:
            'schema' in operation.answer
              ? { 'application/json': { schema: reference(operation.answer.schema) } }
              : { [operation.answer.type]: {} },
        };
  const failures = [...(operation.errors ?? []), 500].map(status => [
    String(status),
    {
      description: 'What went wrong, in words',
      content: { 'application/json': { schema: reference('ErrorBody') } },
    },
  ]);
  const parameters = [
    ...[...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
      name,
      in: 'path',
      required: true,
      schema: PATH_PARAMETERS[name!] ?? { type: 'string' },
    })),
    ...(operation.query ? queryParameters(operation.query) : []),
  ];
  return {
    operationId: operationId(path, method),
    summary: operation.summary,
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(operation.body
      ? {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: reference(operation.body) } },
          },
        }
      : {}),
    responses: {
      [String(operation.status ?? 200)]: { description: operation.summary, ...success },
      ...Object.fromEntries(failures),
    },
  };
}

const reference = (name: string): object => ({ $ref: `#/components/schemas/${name}` });

function operationId(path: string, method: string): string {
  const words = path.split(/[^a-z]+/).filter(Boolean);
  return method + words.map(word => word[0]!.toUpperCase() + word.slice(1)).join('');
}

function queryParameters(schema: z.ZodObject): object[] {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  // What a coerced field takes as input is a string of what it puts out: describe it by its output.
  const { properties: parsed = {} } = z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any' });
  return Object.keys(properties).map(name => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema: parsed[name],
  }));
}

/** Every schema of the contract that an operation names, or that one of those is made of. */
function componentSchemas(operations: Operation[]): Record<string, object> {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(contract)) {
    if (schema instanceof z.ZodType && !/Query$/.test(id)) registry.add(schema, { id });
  }
  const uri = (id: string): string => `#/components/schemas/${id}`;
  // A request's fields with defaults may be left out, an answer always has them: one set for each direction.
  const answers = z.toJSONSchema(registry, { io: 'output', uri }).schemas;
  const requests = z.toJSONSchema(registry, { io: 'input', uri }).schemas;
  const wanted = new Map<string, object>();
  const want = (id: string, from: Record<string, object>): void => {
    if (wanted.has(id)) return;
    const schema = withoutIdentity(from[id]!);
    wanted.set(id, schema);
    for (const [, name] of JSON.stringify(schema).matchAll(/"#\/components\/schemas\/(\w+)"/g))
      want(name!, from);
  };
  want('ErrorBody', answers);
  for (const { body } of operations) if (body) want(body, requests);
  for (const { answer } of operations) if (answer && 'schema' in answer) want(answer.schema, answers);
  for (const event of ['RunEvent', 'StudyRunEvent']) want(event, answers);
  return Object.fromEntries([...wanted].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Drops `$schema` and `$id`: within the document a schema is known by its place. */
function withoutIdentity(schema: object): object {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => key !== '$schema' && key !== '$id'));
}
