import type { ImageEntry, ImagePage } from '@dermcap/kernel-server/contract';
import { Signal, type ISignal } from '@lumino/signaling';
import type { IndexSet } from './indexset.js';

/** A list of images the grid can show without holding all of it. */
export interface ImageList {
  readonly total: number;
  readonly changed: ISignal<ImageList, void>;
  /** The image at a position, or undefined while it is not loaded. */
  at(index: number): ImageEntry | undefined;
  /** The image of that path, if it is loaded. */
  find(path: string): ImageEntry | undefined;
  /** Says which positions are on screen (both included), so that they are loaded next. */
  show(first: number, last: number): void;
  /** Paths of the chosen positions in order; loads what is missing. */
  paths(chosen: IndexSet): Promise<string[]>;
}

/** Images per request while looking, and while collecting a large selection (the contract's maximum). */
export const PAGE_SIZE = 200;
export const COLLECT_SIZE = 1000;
/** Page requests under way at once: more would only make the page on screen wait. */
const MOST_IN_FLIGHT = 2;
const COLLECTORS = 4;

/** Fetches `limit` images from `offset`. */
export type FetchPage = (offset: number, limit: number) => Promise<ImagePage>;

/** A folder's images, fetched page by page as the person scrolls. */
export class PagedImages implements ImageList {
  private readonly _changed = new Signal<ImageList, void>(this);
  private readonly entries = new Map<number, ImageEntry>();
  private readonly byPath = new Map<string, ImageEntry>();
  private readonly loading = new Set<number>();
  private wanted: number[] = [];
  private _total = 0;
  private _error: unknown = null;

  /** @param fetchPage where pages come from. @param first the page at offset 0, already fetched. */
  constructor(
    private readonly fetchPage: FetchPage,
    first: ImagePage,
  ) {
    this.accept(first);
  }

  get total(): number {
    return this._total;
  }

  get changed(): ISignal<ImageList, void> {
    return this._changed;
  }

  /** Why the last page did not arrive, or null. `retry` clears it. */
  get error(): unknown {
    return this._error;
  }

  at(index: number): ImageEntry | undefined {
    return this.entries.get(index);
  }

  find(path: string): ImageEntry | undefined {
    return this.byPath.get(path);
  }

  show(first: number, last: number): void {
    const pages = [];
    for (
      let page = Math.floor(first / PAGE_SIZE);
      page * PAGE_SIZE <= Math.min(last, this._total - 1);
      page++
    ) {
      if (!this.isLoaded(page)) pages.push(page);
    }
    // Replaces what was wanted before: pages scrolled past are not worth a request any more.
    this.wanted = pages;
    this.pump();
  }

  retry(): void {
    this._error = null;
    this._changed.emit();
    this.pump();
  }

  async paths(chosen: IndexSet): Promise<string[]> {
    const missing: { offset: number; limit: number }[] = [];
    for (const { start, end } of chosen.ranges) {
      let index = start;
      while (index < Math.min(end, this._total)) {
        if (this.entries.has(index)) {
          index++;
          continue;
        }
        const limit = Math.min(COLLECT_SIZE, Math.max(PAGE_SIZE, end - index));
        missing.push({ offset: index, limit });
        index += limit;
      }
    }
    const fetchNext = async (): Promise<void> => {
      for (let page = missing.pop(); page; page = missing.pop()) {
        this.accept(await this.fetchPage(page.offset, page.limit));
      }
    };
    await Promise.all(Array.from({ length: COLLECTORS }, fetchNext));
    // A folder that shrank meanwhile has fewer images than the selection: take those that are there.
    return [...chosen].flatMap(index => this.entries.get(index)?.path ?? []);
  }

  private isLoaded(page: number): boolean {
    const start = page * PAGE_SIZE;
    for (let index = start; index < Math.min(start + PAGE_SIZE, this._total); index++) {
      if (!this.entries.has(index)) return false;
    }
    return true;
  }

  private pump(): void {
    if (this._error !== null) return;
    while (this.loading.size < MOST_IN_FLIGHT) {
      // A page that was wanted again while it was loading is here now.
      this.wanted = this.wanted.filter(page => !this.isLoaded(page));
      const page = this.wanted.find(candidate => !this.loading.has(candidate));
      if (page === undefined) return;
      this.wanted = this.wanted.filter(candidate => candidate !== page);
      this.loading.add(page);
      this.fetchPage(page * PAGE_SIZE, PAGE_SIZE)
        .then(
          result => this.accept(result),
          (error: unknown) => {
            this._error = error;
            this.wanted = [page, ...this.wanted];
          },
        )
        .finally(() => {
          this.loading.delete(page);
          this._changed.emit();
          this.pump();
        });
    }
  }

  private accept(page: ImagePage): void {
    this._total = page.total;
    page.images.forEach((image, i) => {
      this.entries.set(page.offset + i, image);
      this.byPath.set(image.path, image);
    });
  }
}

/** A fixed list, for example the images a run could not caption. */
export class ListedImages implements ImageList {
  private readonly _changed = new Signal<ImageList, void>(this);

  constructor(private readonly images: readonly ImageEntry[]) {}

  get total(): number {
    return this.images.length;
  }

  get changed(): ISignal<ImageList, void> {
    return this._changed;
  }

  at(index: number): ImageEntry | undefined {
    return this.images[index];
  }

  find(path: string): ImageEntry | undefined {
    return this.images.find(image => image.path === path);
  }

  show(): void {
    // Everything is here.
  }

  paths(chosen: IndexSet): Promise<string[]> {
    return Promise.resolve([...chosen].flatMap(index => this.images[index]?.path ?? []));
  }
}
