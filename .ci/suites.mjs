/** The parts of `npm test`, each with its count of passed and failed tests. */
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { node, python, root, run } from './steps.mjs';

const results = join(root, 'test-results');
const script = (...parts) => join(root, 'node_modules', ...parts);

/** Runs a check that passes or fails as a whole. */
async function whole(label, command, args) {
  const passed = await run(command, args).then(
    () => true,
    () => false,
  );
  return { label, passed: passed ? 1 : 0, failed: passed ? 0 : 1 };
}

export const types = () => whole('types', node(), [script('typescript', 'bin', 'tsc'), '-b']);
export const lint = () => whole('lint', node(), [script('eslint', 'bin', 'eslint.js'), '.']);
const ruff = (...args) =>
  whole(`ruff ${args[0]}`, python, ['-m', 'ruff', ...args, '--quiet', 'extension', 'test/python']);
export const pythonLint = () => ruff('check');
export const pythonFormat = () => ruff('format', '--check');
export const format = () =>
  whole('format', node(), [script('prettier', 'bin', 'prettier.cjs'), '--check', '--log-level=warn', '.']);

/** vitest projects by name: unit, widgets, server, parity, webgpu. */
export async function vitest(...projects) {
  const report = join(results, `vitest-${projects.join('-')}.json`);
  const args = [
    script('vitest', 'vitest.mjs'),
    'run',
    ...projects.map(name => `--project=${name}`),
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ];
  return counted(
    projects.join(', '),
    report,
    node(),
    args,
    ({ numPassedTests, numFailedTests, success }) => ({
      passed: numPassedTests,
      failed: Math.max(numFailedTests, success ? 0 : 1),
    }),
  );
}

export async function pytest() {
  const report = join(results, 'pytest.xml');
  const args = ['-m', 'pytest', 'test/python', '-q', `--junitxml=${report}`];
  return counted('python', report, python, args, text => {
    const number = name => Number(new RegExp(`<testsuite [^>]*\\b${name}="(\\d+)"`).exec(text)?.[1] ?? 0);
    const failed = number('failures') + number('errors');
    return { passed: number('tests') - failed - number('skipped'), failed };
  });
}

export async function playwright(chromium) {
  const report = join(results, 'playwright.json');
  const args = [
    script('@playwright', 'test', 'cli.js'),
    'test',
    '--config=test/browser/playwright.config.ts',
  ];
  const env = { PLAYWRIGHT_JSON_OUTPUT_NAME: report, ...(chromium ? { DERMCAP_CHROMIUM: chromium } : {}) };
  return counted(
    'browser',
    report,
    node(),
    args,
    ({ stats }) => ({
      passed: stats.expected + stats.flaky,
      failed: stats.unexpected,
    }),
    env,
  );
}

/** Runs a test runner and reads its report; a run without a readable report, or without tests, has failed. */
async function counted(label, report, command, args, read, env = {}) {
  await mkdir(results, { recursive: true });
  await rm(report, { force: true });
  const ended = await run(command, args, { env }).then(
    () => true,
    () => false,
  );
  try {
    const text = await readFile(report, 'utf8');
    const { passed, failed } = read(report.endsWith('.json') ? JSON.parse(text) : text);
    return { label, passed, failed: failed || (ended && passed > 0 ? 0 : 1) };
  } catch {
    return { label, passed: 0, failed: 1 };
  }
}

/** Runs the suites one after the other and ends with the line `N passed, N failed`. */
export async function runSuites(suites) {
  const rows = [];
  for (const suite of suites) {
    const started = Date.now();
    const row = await suite();
    rows.push({ ...row, seconds: Math.round((Date.now() - started) / 1000) });
  }
  console.log('');
  for (const { label, passed, failed, seconds } of rows)
    console.log(`${failed ? '✗' : '✓'} ${label}: ${passed} passed, ${failed} failed (${seconds} s)`);
  const sum = key => rows.reduce((total, row) => total + row[key], 0);
  console.log(`\n${sum('passed')} passed, ${sum('failed')} failed`);
  if (sum('failed') > 0) process.exitCode = 1;
}
