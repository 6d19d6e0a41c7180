import { describe, expect, it } from 'vitest';
import { createApp, type AppParts } from './app.js';
import { openApiDocument } from './openapi.js';
import { productVersion } from './server.js';

type Json = Record<string, any>; // eslint-disable-line @typescript-eslint/no-explicit-any

const document = openApiDocument('1.2.3') as Json;

function references(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const own = '$ref' in value ? [(value as { $ref: string }).$ref] : [];
  return [...own, ...Object.values(value).flatMap(references)];
}

describe('openApiDocument', () => {
  it('refers to nothing it does not define', () => {
    const found = references(document);
    expect(found.length).toBeGreaterThan(20);
    for (const reference of found) {
      expect(reference).toMatch(/^#\/components\/schemas\/\w+$/);
      expect(document['components'].schemas).toHaveProperty([reference.split('/').at(-1)!]);
    }
  });

  it('lets a request leave out what has a default, and promises every field of an answer', () => {
    const { RunRequest, Run } = document['components'].schemas;
    expect(RunRequest.required.sort()).toEqual(['images', 'release']);
    expect(Run.required).toContain('imagesPerSecond');
  });

  it('describes query parameters by type, bounds and default', () => {
    const parameters: Json[] = document['paths']['/images'].get.parameters;
    expect(parameters.find(({ name }) => name === 'limit')).toEqual({
      name: 'limit',
      in: 'query',
      required: false,
      schema: { type: 'integer', minimum: 1, maximum: 1000, default: 200 },
    });
    const thumbnail: Json[] = document['paths']['/thumbnail'].get.parameters;
    expect(thumbnail.find(({ name }) => name === 'path')).toMatchObject({ required: true });
  });

  it('is the committed docs/openapi.json (after a change: vitest -u)', async () => {
    const committed = `${JSON.stringify(openApiDocument(productVersion()), null, 2)}\n`;
    await expect(committed).toMatchFileSnapshot('../../../docs/openapi.json');
  });

  it('describes every route that the application has, and no other', () => {
    const app = createApp({
      guard: (_q: unknown, _r: unknown, next: () => void) => next(),
    } as unknown as AppParts);
    const described = Object.entries<Json>(document['paths']).flatMap(([path, methods]) =>
      Object.keys(methods).map(method => `${method} ${path.replace(/\{(\w+)\}/g, ':$1')}`),
    );
    const api = app.router.stack
      .map(layer => layer.handle as unknown as Json)
      .find(handle => handle['stack']);
    const routes = api!['stack'].flatMap((layer: Json) =>
      Object.keys(layer['route'].methods).map(method => `${method} ${layer['route'].path}`),
    );
    expect(described.sort()).toEqual(routes.sort());
  });
});
