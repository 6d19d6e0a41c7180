/**
 * Compiles resample.ts and writes it as a TypeScript module, so that `tsc` alone builds the package. The module is
 * committed, and a test compares it with what this writes. Argument: where to, if elsewhere.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import asc from 'assemblyscript/asc';

const target = process.argv[2] ?? join(import.meta.dirname, '../src/image/resampleKernel.ts');
const options = ['-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--outFile', 'resample.wasm'];
let binary;
const { error, stderr } = await asc.main(['resample.ts', '--baseDir', import.meta.dirname, ...options], {
  writeFile: (_, contents) => {
    binary = contents;
  },
});
if (error) throw new Error(`${error.message}\n${stderr.toString()}`);
const base64 = Buffer.from(binary).toString('base64');
await writeFile(
  target,
  `/** Compiled from assembly/resample.ts by \`npm run kernel\`: a WebAssembly module in Base64. */
export const RESAMPLE_KERNEL =
  '${base64}';
`,
);
