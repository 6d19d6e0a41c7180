/** Measures rows: our process and the reference's take turns, so that both meet the machine in the same state. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Threads of both sides spin for a while after their work; the other side starts behind that. */
const SETTLE_MS = 500;
const ATTENTIONS = ['sdpa', 'eager'];

/**
 * Takes turns `rounds` times and keeps the fastest of each side: other work on the machine can only slow one down.
 * Ours goes once before that, unmeasured, as first runs prepare buffers; the caller has warmed the reference.
 * @param ours, reference asked for {seconds, …}; `reference` is null where there is none
 * @returns the fastest answers, and the largest memory of each side
 */
async function takeTurns(rounds, ours, reference) {
  const memory = { ours: (await ours()).memory, reference: null };
  const best = { ours: null, reference: null };
  for (let round = 0; round < rounds; round++)
    for (const [side, ask] of Object.entries({ ours, reference })) {
      if (!ask) continue;
      await sleep(SETTLE_MS);
      const answer = await ask();
      memory[side] = largest(memory[side], answer.memory);
      if (!(answer.seconds > best[side]?.seconds)) best[side] = answer;
    }
  return {
    ours: { ...best.ours, memory: memory.ours },
    reference: reference && { ...best.reference, memory: memory.reference },
  };
}

function largest(a, b) {
  if (!a || !b) return a ?? b ?? null;
  return Object.fromEntries(Object.keys(a).map(key => [key, Math.max(a[key], b[key])]));
}

/** The faster attention of the reference for a piece of work, tried once each, which warms it up too. */
export class Attention {
  #known = new Map();

  constructor(reference) {
    this.reference = reference;
  }

  async of({ images, beams }) {
    const key = `${images} ${beams}`;
    if (!this.#known.has(key)) {
      const tried = [];
      for (const attention of ATTENTIONS) {
        const { seconds } = await this.reference.ask({
          do: 'caption',
          stages: ['a'],
          images,
          beams,
          attention,
        });
        tried.push({ attention, seconds });
      }
      this.#known.set(key, tried.sort((a, b) => a.seconds - b.seconds)[0].attention);
    }
    return this.#known.get(key);
  }
}

/** @returns what `takeTurns` does, the reference's attention, steps and whether the tokens are equal */
export async function measureCaption({ work, captioner }, rounds, ours, reference, attentions) {
  const attention = reference ? await attentions.of(work) : null;
  const { stages } = captioner;
  const best = await takeTurns(
    rounds,
    () => ours.ask({ do: 'caption', ...work }),
    reference && (() => reference.ask({ do: 'caption', stages, ...work, attention })),
  );
  const longest = tokens => Math.max(...Object.values(tokens).flatMap(rows => rows.map(row => row.length)));
  const steps = { ours: longest(best.ours.tokens), reference: best.reference?.steps ?? null };
  const equalTokens =
    best.reference && JSON.stringify(best.ours.tokens) === JSON.stringify(best.reference.tokens);
  // The same tokens come of the same steps, also where the search went on behind the caption's end.
  if (equalTokens) steps.ours = steps.reference;
  return { ...best, attention, steps, equalTokens };
}

export async function measureEmbedding({ work }, rounds, ours, reference) {
  const request = { do: 'embed', ...work };
  await reference?.ask(request);
  return takeTurns(rounds, () => ours.ask(request), reference && (() => reference.ask(request)));
}
