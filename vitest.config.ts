import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Model tests load graphs and decode; on a busy two-core machine that takes its time.
    testTimeout: 120_000,
    hookTimeout: 180_000,
    projects: [
      {
        extends: true,
        test: { name: 'unit', environment: 'node', include: ['{models,kernel-server}/src/**/*.spec.ts'] },
      },
      {
        extends: true,
        test: {
          name: 'widgets',
          environment: 'jsdom',
          include: ['{widgets,extension}/src/**/*.spec.{ts,tsx}'],
        },
      },
      {
        extends: true,
        test: { name: 'server', environment: 'node', include: ['test/server/**/*.spec.ts'] },
      },
      {
        extends: true,
        test: { name: 'parity', environment: 'node', include: ['test/parity/**/*.spec.ts'] },
      },
      {
        extends: true,
        test: { name: 'webgpu', environment: 'node', include: ['test/webgpu/**/*.spec.ts'] },
      },
    ],
  },
});
