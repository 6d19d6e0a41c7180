import type { InferenceSession } from 'onnxruntime-node';
import type { Graph } from '../graph/builder.js';
import type { materialiser } from '../runtime/materialise.js';
import type { Provider } from '../runtime/providers.js';
import { createSession } from '../runtime/session.js';

export type Materialise = ReturnType<typeof materialiser>;

/**
 * Sessions made when they are first asked for. Their matrices are not repacked: a full-size model opens in half a
 * second instead of five and takes no memory of its own, at the same speed, since a pass has a hundred rows.
 */
export class Sessions {
  private readonly open = new Map<string, Promise<InferenceSession>>();

  constructor(
    private readonly provider: Provider,
    private readonly threads: number,
  ) {}

  get(name: string, graph: () => Graph): Promise<InferenceSession> {
    let session = this.open.get(name);
    if (!session) {
      session = createSession(graph(), this.provider, this.threads, { prepack: false });
      this.open.set(name, session);
      session.catch(() => this.open.delete(name));
    }
    return session;
  }

  async release(): Promise<void> {
    const sessions = [...this.open.values()];
    this.open.clear();
    await Promise.all(sessions.map(async session => (await session).release()));
  }
}
