import type { ImageEntry, Release, StageId } from '@dermcap/kernel-server/contract';
import { Signal, type ISignal } from '@lumino/signaling';
import type { DermcapClient } from '../client/client.js';
import { RequestError } from '../client/error.js';
import type { Preferences } from '../shared/preferences.js';
import { PAGE_SIZE, ListedImages, PagedImages, type ImageList } from './images.js';
import { Results } from './results.js';
import { CaptionRun } from './run.js';
import { Selection } from './selection.js';
import type { ImageStanding } from './standing.js';

/** Waits between attempts to reach a server that is starting, in milliseconds; the last one repeats. */
const START_WAITS_MS = [300, 500, 1000, 2000];
/** A server that has not answered after this long is not starting, it is failing. */
const START_TIMEOUT_MS = 60_000;
/** Thumbnails that a passing failure kept away are asked for again after this, longer each time. */
const THUMBNAIL_WAIT_MS = 2000;
const THUMBNAIL_ATTEMPTS = 6;

export type FolderPhase = 'starting' | 'ready' | 'failed';
export type Filter = 'all' | 'failed';

/** A folder of images, what is chosen in it and what is known of it. No DOM; views listen to `changed`. */
export class FolderModel {
  readonly selection = new Selection();
  private readonly _changed = new Signal<this, void>(this);
  private readonly emit = () => this._changed.emit();
  private readonly results = new Results();
  private readonly unreadable = new Map<string, RequestError>();
  private readonly thumbnailAttempts = new Map<string, number>();
  private abort = new AbortController();
  private all: PagedImages | null = null;
  private failed: ListedImages | null = null;
  private _phase: FolderPhase = 'starting';
  private _error: RequestError | null = null;
  private _rootName = '';
  private _releases: Release[] = [];
  private _release: Release | null = null;
  private _run: CaptionRun | null = null;
  private _problem: RequestError | null = null;
  private _collecting = false;

  /** @param folder path below the server's root, `''` for the root itself. */
  constructor(
    readonly client: DermcapClient,
    readonly folder: string,
    readonly preferences: Preferences,
  ) {
    this.selection.changed.connect(this.emit);
    preferences.changed.connect(this.emit);
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get phase(): FolderPhase {
    return this._phase;
  }

  /** Why the folder could not be opened. */
  get error(): RequestError | null {
    return this._error;
  }

  /** Why the last action did not work; `dismiss` clears it. The folder stays usable. */
  get problem(): RequestError | null {
    return this._problem ?? (this.all?.error instanceof RequestError ? this.all.error : null);
  }

  /** Images on screen: all of the folder, or those that failed. */
  get images(): ImageList | null {
    return this.failed ?? this.all;
  }

  get filter(): Filter {
    return this.failed ? 'failed' : 'all';
  }

  /** The folder's own name; empty while the root's is not known, and for the root of a file system. */
  get name(): string {
    return this.folder.slice(this.folder.lastIndexOf('/') + 1) || this._rootName;
  }

  get releases(): readonly Release[] {
    return this._releases;
  }

  get release(): Release | null {
    return this._release;
  }

  /** Stages a run captions with: both of a pair, or whatever the release has. */
  get stages(): StageId[] {
    const ids = this._release?.stages.map(stage => stage.id) ?? [];
    const pair = ids.filter(id => id !== 'final');
    return pair.length > 0 ? pair : ids;
  }

  get run(): CaptionRun | null {
    return this._run;
  }

  get running(): boolean {
    return this._run?.active ?? false;
  }

  /** True while the chosen images' paths are read, which takes a moment for very many. */
  get collecting(): boolean {
    return this._collecting;
  }

  get canCaption(): boolean {
    return this._release !== null && this._release.problem === null && !this.running && !this._collecting;
  }

  standing(path: string): ImageStanding {
    const result = this.results.of(path);
    const unreadable = this.unreadable.get(path);
    const failure = unreadable ?? result.failure;
    return {
      ...result,
      failure,
      unreadable: !!failure?.code.startsWith('image-') || !!unreadable,
      place: this._run?.placeOf(path) ?? null,
    };
  }

  /** Opens the folder, waiting for a server that is starting; also reads it again. */
  async open(): Promise<void> {
    this.abort.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    this._phase = 'starting';
    this._error = null;
    this._problem = null;
    this.emit();
    try {
      await this.reachServer(signal);
      const { client, folder } = this;
      const [first, releases, captions, runs] = await Promise.all([
        client.images(folder, 0, PAGE_SIZE, signal),
        client.releases(signal),
        client.captions(folder, signal),
        client.runs(signal),
      ]);
      this.failed = null;
      this.all = new PagedImages((offset, limit) => client.images(folder, offset, limit), first);
      this.all.changed.connect(this.emit);
      this._releases = releases;
      this._release =
        releases.find(release => release.id === this._release?.id) ??
        releases.find(release => release.problem === null) ??
        releases[0] ??
        null;
      this.results.addList(captions);
      this.unreadable.clear();
      this.thumbnailAttempts.clear();
      this.selection.reset();
      this._phase = 'ready';
      const underWay = runs.find(run => ['queued', 'loading', 'running'].includes(run.state));
      if (underWay && !this.running)
        void this.take(new CaptionRun(client, this.results, [])).follow(underWay);
    } catch (error) {
      if (signal.aborted) return;
      this._phase = 'failed';
      this._error = asRequestError(error);
    }
    this.emit();
  }

  chooseRelease(id: string): void {
    this._release = this._releases.find(release => release.id === id) ?? this._release;
    this.emit();
  }

  /** Captions the chosen images. */
  async captionChosen(): Promise<void> {
    const { images } = this;
    if (!images || !this.canCaption || this.selection.chosen.size === 0) return;
    this._collecting = true;
    this.emit();
    let paths: string[] = [];
    try {
      paths = await images.paths(this.selection.chosen);
    } catch (error) {
      this._problem = asRequestError(error);
    }
    this._collecting = false;
    this.emit();
    await this.caption(paths);
  }

  /** Captions these images with the chosen release and follows the run to its end. */
  async caption(paths: readonly string[]): Promise<void> {
    if (!this._release || !this.canCaption || paths.length === 0) return;
    const { preprocess, autoOrient, numBeams } = this.preferences.values;
    const run = this.take(new CaptionRun(this.client, this.results, paths));
    this.emit();
    await run.start({
      release: this._release.id,
      stages: this.stages,
      decoding: { numBeams },
      preprocess,
      autoOrient,
    });
  }

  /** Captions the images again that the last run could not caption. */
  retryFailed(): Promise<void> {
    return this.caption((this._run?.failures ?? []).map(failure => failure.image));
  }

  /** Captions what a cancelled, failed or lost run has left undone. */
  continueRun(): Promise<void> {
    return this.caption(this._run?.remaining ?? []);
  }

  /** Puts the last run away; its captions stay. */
  closeRun(): void {
    if (this.running) return;
    this.setFilter('all');
    this._run?.dispose();
    this._run = null;
    this.emit();
  }

  setFilter(filter: Filter): void {
    if (filter === this.filter) return;
    const failures = this._run?.failures ?? [];
    this.failed =
      filter === 'all'
        ? null
        : new ListedImages(failures.map(({ image }) => this.all?.find(image) ?? nameOnly(image)));
    this.selection.reset();
  }

  dismiss(): void {
    this._problem = null;
    this.all?.retry();
    this.emit();
  }

  /** How often this thumbnail has been asked for again. */
  thumbnailAttempt(path: string): number {
    return this.thumbnailAttempts.get(path) ?? 0;
  }

  /**
   * Finds out why an image's thumbnail did not load. When the image itself is the reason, it is remembered; when the
   * server was away, the thumbnail is asked for again later.
   */
  async thumbnailFailed(path: string, url: string): Promise<void> {
    if (this.unreadable.has(path)) return;
    const reason = await this.client.explain(url);
    if (reason && !reason.passing) {
      this.unreadable.set(path, reason);
    } else {
      const attempt = this.thumbnailAttempt(path) + 1;
      if (attempt > THUMBNAIL_ATTEMPTS) return;
      if (reason) await new Promise(resolve => setTimeout(resolve, THUMBNAIL_WAIT_MS * attempt));
      this.thumbnailAttempts.set(path, attempt);
    }
    this.emit();
  }

  dispose(): void {
    this.abort.abort();
    this._run?.dispose();
    Signal.clearData(this);
    Signal.clearData(this.selection);
    this.preferences.changed.disconnect(this.emit);
  }

  private take(run: CaptionRun): CaptionRun {
    this._run?.dispose();
    this._run = run;
    this._problem = null;
    run.changed.connect(this.emit);
    return run;
  }

  private async reachServer(signal: AbortSignal): Promise<void> {
    const giveUp = Date.now() + START_TIMEOUT_MS;
    for (let attempt = 0; ; attempt++) {
      try {
        this._rootName = (await this.client.health(signal)).rootName;
        return;
      } catch (error) {
        // Nobody is starting a server that crashed again and again: the reason is said, and not waited out.
        const passing =
          error instanceof RequestError &&
          error.passing &&
          !['offline', 'server-crashing'].includes(error.code);
        if (signal.aborted || !passing || Date.now() > giveUp) throw error;
      }
      const waitMs = START_WAITS_MS[Math.min(attempt, START_WAITS_MS.length - 1)];
      await new Promise(resolve => setTimeout(resolve, waitMs));
    }
  }
}

function asRequestError(error: unknown): RequestError {
  if (error instanceof RequestError) return error;
  return new RequestError('unexpected', error instanceof Error ? error.message : String(error), {
    cause: error,
  });
}

/** What is known of an image before its folder's page is loaded. */
function nameOnly(path: string): ImageEntry {
  return { path, name: path.slice(path.lastIndexOf('/') + 1), sizeBytes: 0, modifiedMs: 0 };
}
