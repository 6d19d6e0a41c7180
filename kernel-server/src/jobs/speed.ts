/** How fast images are done, over the last minute of work: what opening a release took is not in it. */
const WINDOW_MS = 60_000;

export class Speed {
  readonly #now: () => number;
  #marks: { ms: number; images: number }[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Work begins, or goes on after a pause. */
  start(): void {
    this.#marks = [{ ms: this.#now(), images: 0 }];
  }

  add(images: number): void {
    const ms = this.#now();
    this.#marks.push({ ms, images: (this.#marks.at(-1)?.images ?? 0) + images });
    // One mark before the window is kept: the speed is measured from there.
    while (this.#marks.length > 2 && this.#marks[1]!.ms < ms - WINDOW_MS) this.#marks.shift();
  }

  /** Images per second; null before the first batch. */
  get perSecond(): number | null {
    const [first] = this.#marks;
    const last = this.#marks.at(-1);
    if (!first || !last || last.images === first.images || last.ms <= first.ms) return null;
    return ((last.images - first.images) / (last.ms - first.ms)) * 1000;
  }
}
