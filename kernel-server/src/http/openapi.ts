/**
 * The OpenAPI 3.1 description of the API, generated from the contract's schemas.
 */
import { z } from 'zod';
import * as contract from '../contract/index.js';

interface Operation {
  summary: string;
  query?: z.ZodObject;
  body?: keyof typeof SCHEMAS;
  /** Success: its status and either a schema or a media type. */
  status?: number;
  answer: { schema: keyof typeof SCHEMAS } | { type: string };
  /** Statuses an error may have, beside 500. */
  errors?: number[];
  pathId?: boolean;
}

const { ApiError, ErrorBody, EngineState, Health, Release, ReleaseList, ImageEntry, ImagePage } = contract;
const { Caption, CaptionList, Decoding, DecodingOptions, ImageFailure, PromptChoice } = contract;
const { Run, RunEvent, RunList, RunRequest } = contract;

/** Schemas under `components.schemas`, by the names they have in the contract. */
const SCHEMAS = {
  ApiError,
  Caption,
  CaptionList,
  Decoding,
  DecodingOptions,
  EngineState,
  ErrorBody,
  Health,
  ImageEntry,
  ImageFailure,
  ImagePage,
  PromptChoice,
  Release,
  ReleaseList,
  Run,
  RunEvent,
  RunList,
  RunRequest,
};

const OPERATIONS: Record<string, Record<string, Operation>> = {
  '/health': { get: { summary: 'Whether the server and its engine are well', answer: { schema: 'Health' } } },
  '/releases': { get: { summary: 'Releases that can be used', answer: { schema: 'ReleaseList' } } },
  '/images': {
    get: {
      summary: 'One page of a folder’s images in natural order',
      query: contract.ImageQuery,
      answer: { schema: 'ImagePage' },
      errors: [400, 403, 404, 422],
    },
  },
  '/thumbnail': {
    get: {
      summary: 'A small upright picture of an image',
      query: contract.ThumbnailQuery,
      answer: { type: 'image/webp' },
      errors: [400, 403, 404, 422],
    },
  },
  '/image': {
    get: {
      summary: 'An image in a format that browsers show',
      query: contract.ImageFileQuery,
      answer: { type: 'image/*' },
      errors: [400, 403, 404, 422],
    },
  },
  '/runs': {
    get: { summary: 'Runs, the newest first', answer: { schema: 'RunList' } },
    post: {
      summary: 'Caption images',
      body: 'RunRequest',
      status: 201,
      answer: { schema: 'Run' },
      errors: [400, 403, 404, 409, 413, 429, 503],
    },
  },
  '/runs/{id}': {
    get: { summary: 'A run as it stands', pathId: true, answer: { schema: 'Run' }, errors: [404] },
  },
  '/runs/{id}/events': {
    get: {
      summary: 'What happens in a run, as server-sent events whose data is a RunEvent',
      pathId: true,
      answer: { type: 'text/event-stream' },
      errors: [404],
    },
  },
  '/runs/{id}/cancel': {
    post: {
      summary: 'Stop a run after its current batch',
      pathId: true,
      answer: { schema: 'Run' },
      errors: [404],
    },
  },
  '/captions': {
    get: {
      summary: 'The newest captions of a folder’s images since the server started',
      query: contract.CaptionQuery,
      answer: { schema: 'CaptionList' },
      errors: [400, 403],
    },
  },
  '/openapi.json': { get: { summary: 'This document', answer: { type: 'application/json' } } },
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
    components: { schemas: componentSchemas() },
  };
}

function describe(path: string, method: string, operation: Operation): object {
  const success =
    'schema' in operation.answer
      ? { 'application/json': { schema: reference(operation.answer.schema) } }
      : { [operation.answer.type]: {} };
  const failures = [...(operation.errors ?? []), 500].map(status => [
    String(status),
    {
      description: 'What went wrong, in words',
      content: { 'application/json': { schema: reference('ErrorBody') } },
    },
  ]);
  const parameters = [
    ...(operation.pathId ? [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }] : []),
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
      [String(operation.status ?? 200)]: { description: operation.summary, content: success },
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

function componentSchemas(): Record<string, object> {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(SCHEMAS)) registry.add(schema, { id });
  const uri = (id: string): string => `#/components/schemas/${id}`;
  // A request's fields with defaults may be left out, an answer always has them: one set for each direction.
  const answers = z.toJSONSchema(registry, { io: 'output', uri }).schemas;
  const requests = z.toJSONSchema(registry, { io: 'input', uri }).schemas;
  const merged = { ...answers, RunRequest: requests['RunRequest']!, PromptChoice: requests['PromptChoice']! };
  return Object.fromEntries(Object.entries(merged).map(([id, schema]) => [id, withoutIdentity(schema)]));
}

/** Drops `$schema` and `$id`: within the document a schema is known by its place. */
function withoutIdentity(schema: object): object {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => key !== '$schema' && key !== '$id'));
}
