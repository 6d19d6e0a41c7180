export { createServer, type DermcapServer, type ServerOptions } from './http/server.js';
export { ReleaseCatalogue, clipPath, demoReleaseDir, releasePaths } from './engine/releases.js';
export type { EngineOptions, LoadPixels, OpenCaptioner } from './engine/engine.js';
