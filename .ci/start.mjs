/**
 * npm start: sets up what is missing and opens JupyterLab on the demo study.
 *   npm start -- [--no-browser] [--port N] [--dir FOLDER]
 */
import { spawn } from 'node:child_process';
import { cp, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { environment, main, node, python, root, setUp } from './steps.mjs';

main(async () => {
  const { values } = parseArgs({
    options: {
      'no-browser': { type: 'boolean', default: false },
      port: { type: 'string' },
      dir: { type: 'string' },
    },
  });
  await setUp();
  const folder =
    values.dir === undefined ? await demoStudy() : resolve(process.env.INIT_CWD ?? '.', values.dir);
  if (!(await stat(folder).catch(() => null))?.isDirectory()) throw new Error(`${folder} is not a folder.`);

  const args = [
    '-m',
    'jupyterlab',
    `--ServerApp.root_dir=${folder}`,
    '--DermcapApp.open_folder=.',
    // Nothing leaves the machine: no look for extensions (nor for news and updates: steps.mjs).
    '--LabApp.extension_manager=readonly',
    ...(values.port === undefined ? [] : [`--ServerApp.port=${values.port}`]),
    ...(values['no-browser'] ? ['--no-browser'] : []),
    // As root, in a container, Jupyter wants to be told that this is meant.
    ...(process.getuid?.() === 0 ? ['--allow-root'] : []),
  ];
  const child = spawn(python, args, {
    cwd: folder,
    env: environment({ DERMCAP_NODE: node() }),
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  // npm does not always pass a signal on: when it is gone, JupyterLab goes too.
  const parent = process.ppid;
  const watch = setInterval(() => process.ppid === parent || child.kill('SIGTERM'), 1000);
  process.exitCode = await new Promise(done => child.on('exit', code => done(code ?? 0)));
  clearInterval(watch);
});

/** A working copy of the demo study: what a person does to it does not touch the repository. */
async function demoStudy() {
  const copy = join(root, 'demo-study');
  const source = join(root, 'models', 'demo', 'study');
  await cp(source, copy, { recursive: true, force: false });
  return copy;
}
