// A server that shows what reaches it, and that waits for a word before it goes on: no test needs a clock.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { hangOnStdin, health, option } from './lifeline.mjs';

/** 64 MB, made as it is read; byte i is i mod 251. */
const FILE_BYTES = 64 * 1024 * 1024;
const PATTERN = Buffer.from(Array.from({ length: 251 * 1024 }, (_, i) => i % 251));

/** A word given once, whoever comes first. */
class Gate {
  constructor() {
    this.opened = new Promise(open => (this.open = open));
  }
}
const gates = new Map();
const gate = name => gates.get(name) ?? gates.set(name, new Gate()).get(name);
const seen = [];

const json = (response, body, status = 200, headers = {}) =>
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body));

async function readAll(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

async function file(request, response) {
  const etag = '"v1"';
  const headers = { ETag: etag, 'Cache-Control': 'private, max-age=60', 'Accept-Ranges': 'bytes' };
  if (request.headers['if-none-match'] === etag) return response.writeHead(304, headers).end();
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  const [start, end] = range ? [Number(range[1]), Number(range[2]) + 1] : [0, FILE_BYTES];
  if (range) headers['Content-Range'] = `bytes ${start}-${end - 1}/${FILE_BYTES}`;
  response.writeHead(range ? 206 : 200, {
    ...headers,
    'Content-Type': 'image/png',
    'Content-Length': String(end - start),
  });
  for (let at = start; at < end;) {
    const from = at % 251;
    const part = PATTERN.subarray(from, Math.min(PATTERN.length, from + end - at));
    if (!response.write(part)) await new Promise(resume => response.once('drain', resume));
    at += part.length;
  }
  response.end();
}

const routes = {
  '/api/health': (_, response) => health(response),
  '/api/seen': (_, response) => json(response, seen),
  '/api/environment': (_, response) =>
    json(response, { names: Object.keys(process.env), argv: process.argv }),
  '/api/file': file,
  '/api/refuse': (_, response) => json(response, { error: { code: 'no-such-run', message: 'No.' } }, 404),
  '/api/say': async (request, response) => {
    process.stderr.write(await readAll(request));
    json(response, {});
  },
  '/api/response-headers': (_, response) =>
    json(response, {}, 201, {
      'Set-Cookie': 'session=1',
      'Access-Control-Allow-Origin': '*',
      'Content-Security-Policy': 'default-src *',
      'X-Content-Type-Options': 'off',
      Connection: 'X-Between-Us, keep-alive',
      'X-Between-Us': 'yes',
      'X-Powered-By': 'node',
      Vary: ['Accept', 'Accept-Language'],
      'X-Caption-Count': '2',
    }),
  // Sends "first", waits for the gate, sends "second"; opens the gate `…-closed` when its reader has left.
  '/api/events': async (request, response, query) => {
    const name = query.get('gate');
    request.on('close', () => gate(`${name}-closed`).open());
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
    response.write(`id: 1\ndata: first after ${request.headers['last-event-id'] ?? 'nothing'}\n\n`);
    await gate(name).opened;
    response.end('id: 2\ndata: second\n\n');
  },
  // Opens the gate `…-begun` at the first part of the body, before the last has been sent.
  '/api/upload': async (request, response, query) => {
    const hash = createHash('sha256');
    let parts = 0;
    let bytes = 0;
    for await (const part of request) {
      gate(`${query.get('gate')}-begun`).open();
      hash.update(part);
      parts += 1;
      bytes += part.length;
    }
    json(response, { bytes, parts, sha256: hash.digest('hex') });
  },
  '/api/open-gate': (_, response, query) => {
    gate(query.get('gate')).open();
    json(response, {});
  },
  '/api/await-gate': async (_, response, query) => {
    await gate(query.get('gate')).opened;
    json(response, {});
  },
  // Half an answer, then the process is gone.
  '/api/die': (_, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.write('{"half":', () => process.kill(process.pid, 'SIGKILL'));
  },
  // Gone without a word.
  '/api/die-silent': () => process.kill(process.pid, 'SIGKILL'),
};

async function answer(request, response) {
  const [path, query = ''] = request.url.split('?', 2);
  seen.push(`${request.method} ${request.url}`);
  const route = routes[path];
  if (route) return route(request, response, new URLSearchParams(query));
  const body = await readAll(request);
  json(response, {
    method: request.method,
    url: request.url,
    headers: request.headers,
    body: body.toString('utf8'),
  });
}

createServer((request, response) => {
  Promise.resolve(answer(request, response)).catch(error => {
    // Whoever sent half a request is gone; anything else is a fault of this file.
    if (error.code !== 'ECONNRESET') throw error;
  });
}).listen(option('socket'), hangOnStdin);
