/** A client of the server's Unix socket: whole answers, and server-sent events one by one. */
import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { RunEvent } from '@dermcap/kernel-server/contract';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  json: () => any; // eslint-disable-line @typescript-eslint/no-explicit-any
}

export interface AskOptions {
  method?: string;
  headers?: Record<string, string>;
  /** Sent as JSON, or as it is when a string. */
  body?: unknown;
}

export class Client {
  readonly socketPath: string;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  /** Asks for a path below /api, which goes out exactly as it is written here. */
  async ask(path: string, options: AskOptions = {}): Promise<Answer> {
    const response = await this.#send(path, options);
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const { statusCode, headers } = response;
    return { status: statusCode!, headers, body, json: () => JSON.parse(body.toString('utf8')) };
  }

  post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.ask(path, { method: 'POST', body, headers });
  }

  /** Follows a run; leaving the loop hangs up. Every event is checked against the contract. */
  async *follow(
    runId: string,
    lastEventId?: number,
  ): AsyncGenerator<{ id: number; event: RunEvent }, void, undefined> {
    const headers = lastEventId === undefined ? {} : { 'Last-Event-ID': String(lastEventId) };
    const response = await this.#send(`/runs/${runId}/events`, { headers });
    if (response.headers['content-type'] !== 'text/event-stream')
      throw new Error(`status ${response.statusCode}`);
    let text = '';
    try {
      for await (const chunk of response) {
        text += (chunk as Buffer).toString('utf8');
        const blocks = text.split('\n\n');
        text = blocks.pop()!;
        for (const block of blocks) {
          if (block.startsWith(':')) continue;
          const [, id, data] = /^id: (\d+)\ndata: (.*)$/.exec(block)!;
          yield { id: Number(id), event: RunEvent.parse(JSON.parse(data!)) };
        }
      }
    } finally {
      response.destroy();
    }
  }

  #send(path: string, { method = 'GET', headers = {}, body }: AskOptions): Promise<IncomingMessage> {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          socketPath: this.socketPath,
          path: `/api${path}`,
          method,
          headers: text === undefined ? headers : { 'Content-Type': 'application/json', ...headers },
          agent: false,
        },
        resolve,
      );
      outgoing.on('error', reject);
      outgoing.end(text);
    });
  }
}
