import type { Graph, Value } from './builder.js';

type Type = 'float' | 'int64' | 'bool';

/** Values that a `Loop` carries from one iteration to the next, in order. */
export class Carried {
  private readonly entries: { name: string; type: Type; rank: number; initial: Value }[] = [];

  add(name: string, type: Type, rank: number, initial: Value): void {
    this.entries.push({ name, type, rank, initial });
  }

  get names(): string[] {
    return this.entries.map(({ name }) => name);
  }

  get initial(): Value[] {
    return this.entries.map(({ initial }) => initial);
  }

  /** Declares all as inputs of a loop's body; they go by their names behind `prefix` there. */
  declare(body: Graph, prefix = ''): Value[] {
    return this.entries.map(({ name, type, rank }) => body.input(`${prefix}${name}`, type, open(rank)));
  }

  /** Declares what they become as outputs of a loop's body. */
  output(body: Graph, next: Readonly<Record<string, Value>>): void {
    const taken = new Set(body.outputs.map(({ name }) => name));
    for (const { name, type, rank } of this.entries) {
      const value = next[name]!;
      // Another name is another node, which copies: only where one value is needed twice, or comes from outside.
      const asItIs = body.isResult(value) && !taken.has(value);
      body.output(value, type, open(rank), asItIs ? undefined : body.fresh(name));
      taken.add(value);
    }
  }
}

function open(rank: number): null[] {
  return Array<null>(rank).fill(null);
}
