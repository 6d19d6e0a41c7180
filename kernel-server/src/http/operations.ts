/** What each route takes and answers: the source of the API's description. Paths are below `/api`. */
import type { z } from 'zod';
import * as contract from '../contract/index.js';
import { STUDY_OPERATIONS } from './study-operations.js';

/** Contract schemas, by name. */
export type SchemaName = {
  [Name in keyof typeof contract]: (typeof contract)[Name] extends z.ZodType ? Name : never;
}[keyof typeof contract];

export interface Operation {
  summary: string;
  query?: z.ZodObject;
  body?: SchemaName;
  /** Success: its status and either a schema, a media type, or nothing. */
  status?: number;
  answer: { schema: SchemaName } | { type: string } | null;
  /** Statuses an error may have, beside 500. */
  errors?: number[];
}

export type Operations = Record<string, Record<string, Operation>>;

export const OPERATIONS: Operations = {
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
    get: { summary: 'A run as it stands', answer: { schema: 'Run' }, errors: [404] },
  },
  '/runs/{id}/events': {
    get: {
      summary: 'What happens in a run, as server-sent events whose data is a RunEvent',
      answer: { type: 'text/event-stream' },
      errors: [404],
    },
  },
  '/runs/{id}/cancel': {
    post: {
      summary: 'Stop a run after its current batch',
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
  ...STUDY_OPERATIONS,
  '/openapi.json': { get: { summary: 'This document', answer: { type: 'application/json' } } },
};
