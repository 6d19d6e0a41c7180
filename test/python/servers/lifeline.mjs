// What every server of these tests does: take the socket from the command line, live as long as its standard input.
import { appendFileSync } from 'node:fs';

/** Value after `--name` on the command line. */
export function option(name) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
}

/** Ends the process when the program that started it has gone, and notes the start in the file of `--starts`. */
export function hangOnStdin() {
  const starts = option('starts');
  if (starts) appendFileSync(starts, `${process.pid} ${process.argv.slice(2).join(' ')}\n`);
  process.stdin.on('end', () => process.exit(0)).resume();
}

export function health(response) {
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({ status: 'ok', pid: process.pid }));
}
