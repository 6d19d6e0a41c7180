/**
 * Setting the project up, step by step. Each step runs when what it depends on has changed since it last
 * succeeded (a hash in .setup/), so a second start does nothing. Plain JavaScript without dependencies: this is
 * the first thing that runs on a fresh machine, under any Node ≥ 20.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const windows = process.platform === 'win32';
const bin = windows ? 'Scripts' : 'bin';
export const venv = join(root, '.venv');

/** The interpreter of a virtual environment. */
export function venvPython(folder) {
  return join(folder, bin, windows ? 'python.exe' : 'python');
}
export const python = venvPython(venv);

/** Our Node 24 (the npm package `node`) and the virtual environment come first on the path of all we start. */
export function environment(extra = {}) {
  const path = [join(root, 'node_modules', '.bin'), join(venv, bin), process.env.PATH].join(delimiter);
  return { ...process.env, ...extra, PATH: path };
}

/** The Node 24 that npm installed. */
export function node() {
  return join(root, 'node_modules', 'node', 'bin', windows ? 'node.exe' : 'node');
}

/** Runs a command to its end, its output on ours; throws a sentence when it fails. */
export async function run(command, args, { env = {}, cwd = root, quiet = false } = {}) {
  const output = [];
  const child = spawn(command, args, {
    cwd,
    env: environment(env),
    stdio: quiet ? ['ignore', 'pipe', 'pipe'] : 'inherit',
    shell: windows && command === 'npm',
  });
  child.stdout?.on('data', data => output.push(data));
  child.stderr?.on('data', data => output.push(data));
  const code = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (status, signal) => resolve(status ?? `signal ${signal}`));
  });
  if (code === 0) return;
  if (quiet) process.stderr.write(Buffer.concat(output));
  throw new Error(`${[command, ...args].join(' ')} ended with ${code}.`);
}

/** Hash of the contents of files and folders. */
async function fingerprint(paths) {
  const hash = createHash('sha256');
  const add = async path => {
    const full = join(root, path);
    const entries = await readdir(full, { withFileTypes: true }).catch(() => null);
    if (entries === null) return hash.update(path).update(await readFile(full));
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1)))
      if (!/^(node_modules|lib|labextension|__pycache__|.*\.egg-info)$/.test(entry.name))
        await add(`${path}/${entry.name}`);
  };
  for (const path of paths) await add(path);
  return hash.digest('hex');
}

/** Runs `work` unless `inputs` are as they were when it last succeeded and all of `results` exist. */
async function step(name, label, inputs, results, work) {
  const stamp = join(root, '.setup', name);
  const now = await fingerprint(inputs);
  const before = await readFile(stamp, 'utf8').catch(() => '');
  if (before === now && results.every(path => existsSync(join(root, path)))) return;
  console.log(`• ${label}`);
  await rm(stamp, { force: true });
  await work();
  await mkdir(dirname(stamp), { recursive: true });
  await writeFile(stamp, now);
}

export async function installPackages() {
  await step(
    'packages',
    'Installing the JavaScript packages (once, a minute or two)',
    ['package-lock.json'],
    ['node_modules/node/bin', 'node_modules/.package-lock.json'],
    () =>
      // onnxruntime-node's install step downloads CUDA libraries, which fails without internet: docs/gpu.md.
      run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
        env: { ONNXRUNTIME_NODE_INSTALL: 'skip' },
      }),
  );
}

const SOURCES = ['models/src', 'kernel-server/src', 'widgets/src', 'extension/src', 'tsconfig.base.json'];
const PACKAGES = ['models', 'kernel-server', 'widgets', 'extension'];

export async function buildTypeScript() {
  const inputs = [...SOURCES, ...PACKAGES.map(name => `${name}/tsconfig.json`)];
  const results = PACKAGES.map(name => `${name}/lib`);
  await step('typescript', 'Building the TypeScript', inputs, results, () =>
    run(node(), [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b']),
  );
}

export async function buildExtension() {
  const inputs = [
    ...SOURCES,
    'widgets/package.json',
    'extension/style',
    'extension/schema',
    'extension/package.json',
    'package-lock.json',
  ];
  await step(
    'extension',
    'Building the JupyterLab extension',
    inputs,
    ['extension/jupyterlab_dermcap/labextension'],
    () => run('npm', ['run', 'build', '-w', '@dermcap/jupyterlab'], { quiet: true }),
  );
}

/** The first Python ≥ 3.10 that can make virtual environments. */
export async function systemPython() {
  const wanted = process.env.DERMCAP_PYTHON ? [process.env.DERMCAP_PYTHON] : ['python3', 'python'];
  for (const name of wanted) {
    const check = 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))';
    if (
      await run(name, ['-c', check], { quiet: true }).then(
        () => true,
        () => false,
      )
    )
      return name;
  }
  throw new Error(
    'Python 3.10 or newer with venv was not found. Install it (Debian: apt install python3-venv) or name one in DERMCAP_PYTHON.',
  );
}

export async function installPython() {
  await step(
    'python',
    'Installing JupyterLab into .venv (once, a minute or two)',
    ['.ci/requirements.lock.txt'],
    [`.venv/${bin}/jupyter${windows ? '.exe' : ''}`],
    async () => {
      if (!existsSync(python)) await run(await systemPython(), ['-m', 'venv', venv]);
      // Scripts that JupyterLab brings are CommonJS; without this, ours above would make them modules.
      await writeFile(join(venv, 'package.json'), '{ "type": "commonjs" }\n');
      await run(python, [
        '-m',
        'pip',
        'install',
        '-qq',
        '--disable-pip-version-check',
        '-r',
        '.ci/requirements.lock.txt',
      ]);
    },
  );
  const inputs = ['pyproject.toml', 'jupyter-config', '.setup/python', '.setup/extension'];
  await step('link', 'Putting the extension into JupyterLab', inputs, [], async () => {
    const install = ['-m', 'pip', 'install', '-qq', '--disable-pip-version-check'];
    await run(python, [...install, '--no-deps', '--no-build-isolation', '-e', '.']);
    await run(python, ['-m', 'jupyterlab_dermcap.develop'], { quiet: true });
    const settings = join(venv, 'share', 'jupyter', 'lab', 'settings');
    await mkdir(settings, { recursive: true });
    await cp(join(root, 'jupyter-config', 'overrides.json'), join(settings, 'overrides.json'));
  });
}

/** Everything that `npm start` needs. */
export async function setUp() {
  await installPackages();
  await buildTypeScript();
  await buildExtension();
  await installPython();
}

/** Ends with a sentence instead of a stack. */
export function main(work) {
  work().catch(error => {
    console.error(`\n${error.message}`);
    process.exitCode = 1;
  });
}
