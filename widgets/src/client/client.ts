import {
  CaptionList,
  CONTRACT_VERSION,
  ErrorBody,
  Health,
  ImagePage,
  ReleaseList,
  Run,
  RunEvent,
  RunList,
  type ImageEntry,
  type Release,
  type RunRequest,
} from '@dermcap/kernel-server/contract';
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { z } from 'zod';
import { RequestError } from './error.js';
import { readEvents } from './eventstream.js';
import { followStream, type FollowOptions } from './follow.js';

/** Where the Jupyter server mounts the DermCap server. */
const API = 'dermcap/api/';

export interface ClientOptions {
  trans: TranslationBundle;
  serverSettings?: ServerConnection.ISettings;
}

interface RequestOptions {
  method?: 'GET' | 'POST' | 'DELETE';
  query?: Record<string, string | number | boolean>;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/**
 * Talks to the DermCap server through Jupyter's own connection (which adds token or XSRF header), and hands out
 * only what the contract's schemas accept. Every method throws `RequestError` and nothing else.
 */
export class DermcapClient {
  readonly serverSettings: ServerConnection.ISettings;
  private readonly trans: TranslationBundle;

  constructor(options: ClientOptions) {
    this.trans = options.trans;
    this.serverSettings = options.serverSettings ?? ServerConnection.makeSettings();
  }

  /**
   * State of the server and its engine.
   * @throws RequestError `contract-version` when server and page cannot understand each other.
   */
  async health(signal?: AbortSignal): Promise<Health> {
    // The contract number is read before the rest, which another version may spell differently.
    const health = await this.request(z.looseObject({ contract: z.int() }), 'health', { signal });
    if (health.contract !== CONTRACT_VERSION) throw this.versionError(health.contract);
    return this.parse(Health, health, 'health');
  }

  async releases(signal?: AbortSignal): Promise<Release[]> {
    return (await this.request(ReleaseList, 'releases', { signal })).releases;
  }

  /** Images of a folder and its subfolders from `offset`, at most `limit` (1,000) of them, in the server's order. */
  images(folder: string, offset: number, limit: number, signal?: AbortSignal): Promise<ImagePage> {
    return this.request(ImagePage, 'images', { query: { folder, recursive: true, offset, limit }, signal });
  }

  /** Latest captions and failures of the folder's images. */
  captions(folder: string, signal?: AbortSignal): Promise<CaptionList> {
    return this.request(CaptionList, 'captions', { query: { folder }, signal });
  }

  async runs(signal?: AbortSignal): Promise<Run[]> {
    return (await this.request(RunList, 'runs', { signal })).runs;
  }

  startRun(request: z.input<typeof RunRequest>): Promise<Run> {
    return this.request(Run, 'runs', { method: 'POST', body: request });
  }

  /** Stops a run; images captioned so far keep their captions. */
  cancelRun(id: string): Promise<Run> {
    return this.request(Run, `runs/${encodeURIComponent(id)}/cancel`, { method: 'POST', body: {} });
  }

  /**
   * Follows a run to its end over server-sent events, through lost connections: each new connection names the
   * last event seen, so nothing is missed or repeated.
   * @throws RequestError when the server no longer knows the run, refuses, or sends something unreadable.
   */
  runEvents(id: string, options: FollowOptions = {}): AsyncGenerator<RunEvent, void, undefined> {
    const path = `runs/${encodeURIComponent(id)}/events`;
    return followStream(
      async function* (
        this: DermcapClient,
        lastEventId: string,
        signal: AbortSignal | undefined,
        opened: () => void,
      ) {
        const response = await this.respond(path, {
          headers: { Accept: 'text/event-stream', ...(lastEventId ? { 'Last-Event-ID': lastEventId } : {}) },
          signal,
        });
        if (!response.body) throw this.unreadable(path, 'empty body');
        opened();
        try {
          for await (const message of readEvents(response.body)) {
            yield { id: message.id, event: this.parse(RunEvent, this.json(message.data, path), path) };
          }
        } catch (error) {
          throw error instanceof RequestError ? error : this.offline(error);
        }
      }.bind(this),
      event => event.type === 'run' && ['done', 'cancelled', 'failed'].includes(event.run.state),
      options,
    );
  }

  /**
   * For `<img src>`: the browser's Jupyter cookie signs the request in, so no token stands in the address. The
   * file's time makes it another address when the file changes, so that the browser may keep it for good.
   * @param size longer side in pixels.
   */
  thumbnailUrl(image: Pick<ImageEntry, 'path' | 'modifiedMs'>, size: number): string {
    return this.url('thumbnail', { size, ...version(image) });
  }

  imageUrl(image: Pick<ImageEntry, 'path' | 'modifiedMs'>): string {
    return this.url('image', version(image));
  }

  /** Why an `<img>` could not load, which its error event does not say; null when it can be loaded now. */
  async explain(url: string): Promise<RequestError | null> {
    try {
      await this.send(url, {});
      return null;
    } catch (error) {
      return error instanceof RequestError ? error : this.offline(error);
    }
  }

  private async request<T>(schema: z.ZodType<T>, path: string, options: RequestOptions): Promise<T> {
    const response = await this.respond(path, options);
    const text = await response.text().catch((error: unknown) => {
      throw this.offline(error);
    });
    return this.parse(schema, this.json(text, path), path);
  }

  private respond(path: string, options: RequestOptions): Promise<Response> {
    return this.send(this.url(path, options.query), options);
  }

  private async send(url: string, options: RequestOptions): Promise<Response> {
    const init: RequestInit = { method: options.method ?? 'GET' };
    const headers = { ...options.headers };
    if (options.body !== undefined) {
      init.body = JSON.stringify(options.body);
      // Else the browser calls it text/plain.
      headers['Content-Type'] = 'application/json';
    }
    init.headers = headers;
    if (options.signal) init.signal = options.signal;
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, this.serverSettings);
    } catch (error) {
      throw this.offline(error);
    }
    if (!response.ok) throw await this.refusal(response);
    return response;
  }

  private url(path: string, query: Record<string, string | number | boolean> = {}): string {
    const search = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]));
    const url = URLExt.join(this.serverSettings.baseUrl, API, path);
    return search.size > 0 ? `${url}?${search}` : url;
  }

  private json(text: string, path: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw this.unreadable(path, error);
    }
  }

  private parse<T>(schema: z.ZodType<T>, value: unknown, path: string): T {
    const result = schema.safeParse(value);
    if (!result.success) throw this.unreadable(path, result.error);
    return result.data;
  }

  private async refusal(response: Response): Promise<RequestError> {
    const { trans } = this;
    const { status } = response;
    const text = await response.text().catch(() => '');
    let body: unknown = null;
    try {
      body = JSON.parse(text);
    } catch {
      // Jupyter's own error pages are HTML: the status alone has to do.
    }
    const known = ErrorBody.safeParse(body);
    if (known.success) {
      const { code, message, hint } = known.data.error;
      return new RequestError(code, message, { hint, status });
    }
    if (status === 401 || status === 403) {
      return new RequestError('forbidden', trans.__('Jupyter did not accept this page’s sign-in.'), {
        hint: trans.__('Reload the page and sign in again.'),
        status,
      });
    }
    if (status === 404) {
      return new RequestError('not-installed', trans.__('This Jupyter server does not serve DermCap.'), {
        hint: trans.__('Check that “jupyter server extension list” names jupyterlab_dermcap as enabled.'),
        status,
      });
    }
    return new RequestError(
      'server-unavailable',
      trans.__('The DermCap server answered with status %1.', status),
      { hint: trans.__('The Jupyter server’s log says why.'), status },
    );
  }

  private offline(cause: unknown): RequestError {
    return new RequestError('offline', this.trans.__('The Jupyter server cannot be reached.'), {
      hint: this.trans.__('Check that it is still running and that this computer is connected to it.'),
      cause,
    });
  }

  private unreadable(path: string, cause: unknown): RequestError {
    const message = this.trans.__('The DermCap server sent an answer this page cannot read (%1).', path);
    return new RequestError('bad-response', message, {
      hint: this.trans.__('Reload the page. If that does not help, restart Jupyter.'),
      cause,
    });
  }

  private versionError(server: number): RequestError {
    const { trans } = this;
    return new RequestError(
      'contract-version',
      trans.__(
        'The DermCap server speaks version %1 of their common language and this page version %2.',
        server,
        CONTRACT_VERSION,
      ),
      {
        hint:
          server > CONTRACT_VERSION
            ? trans.__('DermCap was updated while this page was open: reload the page.')
            : trans.__('The server is older than this page: restart Jupyter.'),
      },
    );
  }
}

/** Without a known time the address must not claim to change with the file. */
function version(image: Pick<ImageEntry, 'path' | 'modifiedMs'>): Record<string, string | number> {
  return image.modifiedMs > 0 ? { path: image.path, v: image.modifiedMs } : { path: image.path };
}
