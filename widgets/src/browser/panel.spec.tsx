import { CONTRACT_VERSION, type Run } from '@dermcap/kernel-server/contract';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { act, cleanup, fireEvent, render, screen, waitFor, within } from '@testing-library/react';
import * as React from 'react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DermcapClient } from '../client/client.js';
import { CompareModel } from '../compare/model.js';
import { Preferences } from '../shared/preferences.js';
import { FolderModel } from './model.js';
import { FolderView } from './panel.js';

const trans = nullTranslator.load('dermcap');

/** A server that follows the contract: a folder of `total` images, of which the third cannot be read. */
function serve({ total = 12, error = null as object | null, problem = null as string | null } = {}) {
  const requests: { route: string; body: unknown }[] = [];
  const stages = ['a', 'b'].map(id => ({ id, label: id, file: `${id}.pt`, prompt: null }));
  const path = (i: number) => `f/${i}.png`;
  const caption = (image: string, stage: string) => ({
    image,
    stage,
    caption: stage === 'a' ? 'Color: red, plaque' : 'a red plaque on the elbow',
    tokens: [1],
    score: null,
    release: { name: 'pair', sha256: stage },
    clip: { sha256: 'c' },
    prompt: `prompt ${stage}`,
    decoding: { numBeams: 4, maxNewTokens: 60, minNewTokens: 24, noRepeatNgramSize: 4 },
    precision: 'exact',
    provider: 'cpu',
    preprocess: 'train-centre',
    autoOrient: true,
    ms: 400,
  });
  const decoding = { repetitionPenalty: 1.15, lengthPenalty: 0.6, earlyStopping: true, badWords: [] };
  const full = (image: string, stage: string) => {
    const made = caption(image, stage);
    return { ...made, decoding: { ...made.decoding, ...decoding } };
  };
  const run = (images: string[]): Run => ({
    id: 'r',
    state: 'running',
    detail: '',
    release: 'pair',
    stages: ['a', 'b'],
    total: images.length,
    captioned: 0,
    failed: 0,
    createdMs: 0,
    finishedMs: null,
    imagesPerSecond: 2,
  });
  let asked: string[] = [];
  const events = () => {
    const bad = asked.filter(image => image === path(2));
    const failures = bad.map(image => ({
      type: 'failure',
      failure: { image, error: { code: 'image-truncated', message: '2.png is cut off.' } },
    }));
    const captions = asked
      .filter(image => !bad.includes(image))
      .map(image => ({ type: 'captions', image, captions: [full(image, 'a'), full(image, 'b')] }));
    const end = { ...run(asked), state: 'done', captioned: captions.length, failed: bad.length };
    return [...captions, ...failures, { type: 'run', run: end }];
  };
  const answer = async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    const route = url.pathname.split('/dermcap/api/')[1]!;
    const json = (body: object, status = 200) => new Response(JSON.stringify(body), { status });
    requests.push({ route, body: request.method === 'POST' ? await request.json() : null });
    if (error) return json({ error }, 500);
    const engine = {
      state: 'idle',
      detail: '',
      release: null,
      provider: null,
      providerReason: null,
      precision: null,
    };
    if (route === 'health') {
      return json({
        status: 'ok',
        version: '1',
        contract: CONTRACT_VERSION,
        pid: 1,
        uptimeS: 1,
        rootName: 'study',
        engine,
      });
    }
    if (route === 'releases') {
      return json({ releases: [{ id: 'pair', name: 'pair', demo: false, stages, clip: null, problem }] });
    }
    if (route === 'images') {
      const images = Array.from({ length: total }, (_, i) => ({
        path: path(i),
        name: `${i}.png`,
        sizeBytes: 1,
        modifiedMs: 1,
      }));
      return json({ folder: 'f', total, offset: 0, images });
    }
    if (route === 'captions') return json({ captions: [], failures: [] });
    if (route === 'runs' && request.method === 'GET') return json({ runs: [] });
    if (route === 'runs') {
      asked = (requests.at(-1)!.body as { images: string[] }).images;
      return json(run(asked), 201);
    }
    return new Response(
      events()
        .map((event, i) => `id: ${i + 1}\ndata: ${JSON.stringify(event)}\n\n`)
        .join(''),
    );
  };
  const serverSettings = ServerConnection.makeSettings({
    baseUrl: 'http://127.0.0.1:8888/',
    fetch: request => answer(request as Request),
  });
  return { client: new DermcapClient({ trans, serverSettings }), requests };
}

async function open(options: Parameters<typeof serve>[0] = {}) {
  const { client, requests } = serve(options);
  const model = new FolderModel(client, 'studies/f', new Preferences());
  const copied: string[] = [];
  const compare = new CompareModel(model);
  render(<FolderView model={model} compare={compare} trans={trans} copy={text => copied.push(text)} />);
  await act(() => model.open());
  return { model, requests, copied };
}

const cell = (name: string) =>
  screen.getByRole('gridcell', { name: new RegExp(`^${name.replace('.', '\\.')}`) });
const chosen = () =>
  screen.queryAllByRole('gridcell', { selected: true }).map(({ dataset }) => Number(dataset['index']));

describe('FolderView', () => {
  beforeEach(() => {
    // jsdom lays nothing out: a panel of 560 × 600 pixels has four columns of 128.
    const sizes = { clientWidth: 560, clientHeight: 600, offsetWidth: 560, offsetHeight: 600 };
    for (const [name, value] of Object.entries(sizes)) {
      vi.spyOn(HTMLElement.prototype, name as 'offsetWidth', 'get').mockReturnValue(value);
    }
    vi.stubGlobal(
      'ResizeObserver',
      class {
        constructor(private readonly callback: (entries: object[]) => void) {}
        observe = () => this.callback([]);
        unobserve = () => undefined;
        disconnect = () => undefined;
      },
    );
    HTMLElement.prototype.scrollTo = () => undefined;
  });
  afterEach(() => {
    cleanup();
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
  });

  it('shows the folder as a grid of known size with one cell to tab to', async () => {
    await open();
    const grid = screen.getByRole('grid', { name: 'Images' });
    expect(grid.getAttribute('aria-rowcount')).toBe('3');
    expect(grid.getAttribute('aria-colcount')).toBe('4');
    expect(screen.getByText('12 images')).toBeDefined();
    expect(screen.getAllByRole('gridcell').filter(({ tabIndex }) => tabIndex === 0)).toEqual([cell('0.png')]);
  });

  it('moves the focus by arrows, extends by Shift, toggles by Space', async () => {
    await open();
    act(() => cell('0.png').focus());
    fireEvent.keyDown(document.activeElement!, { key: 'ArrowDown' });
    expect(document.activeElement).toBe(cell('4.png'));
    expect(chosen()).toEqual([]);
    fireEvent.keyDown(document.activeElement!, { key: 'ArrowRight', shiftKey: true });
    expect(chosen()).toEqual([4, 5]);
    fireEvent.keyDown(document.activeElement!, { key: ' ' });
    expect(chosen()).toEqual([4]);
    fireEvent.keyDown(document.activeElement!, { key: 'a', ctrlKey: true });
    expect(screen.getByText('12 selected')).toBeDefined();
    fireEvent.keyDown(document.activeElement!, { key: 'Escape' });
    expect(chosen()).toEqual([]);
  });

  it('selects by click, Ctrl+click and Shift+click', async () => {
    await open();
    fireEvent.click(cell('1.png'));
    fireEvent.click(cell('3.png'), { ctrlKey: true });
    expect(chosen()).toEqual([1, 3]);
    fireEvent.click(cell('6.png'), { shiftKey: true });
    expect(chosen()).toEqual([1, 3, 4, 5, 6]);
    fireEvent.click(cell('6.png'));
    expect(chosen()).toEqual([6]);
  });

  it('captions the chosen images by key, marks them, and says what failed', async () => {
    const { requests } = await open();
    fireEvent.click(cell('1.png'));
    fireEvent.click(cell('2.png'), { shiftKey: true });
    fireEvent.keyDown(cell('2.png'), { key: 'c' });
    await screen.findByText('Captioned 1 image');
    const { body } = requests.find(({ route, body }) => route === 'runs' && body !== null)!;
    expect(body).toMatchObject({ images: ['f/1.png', 'f/2.png'], release: 'pair', stages: ['a', 'b'] });
    expect(cell('1.png').getAttribute('aria-label')).toBe('1.png, captioned by A + B');
    expect(cell('2.png').title).toContain('2.png is cut off.');
    fireEvent.click(screen.getByRole('button', { name: 'Show the failed images' }));
    expect(screen.getAllByRole('gridcell')).toHaveLength(1);
    fireEvent.click(screen.getByRole('button', { name: 'Retry failed' }));
    await waitFor(() => {
      const sent = requests.filter(({ route, body }) => route === 'runs' && body !== null);
      expect(sent.at(-1)!.body).toMatchObject({ images: ['f/2.png'] });
      expect(sent).toHaveLength(2);
    });
  });

  it('does nothing on c while nothing is chosen, and says why', async () => {
    const { requests } = await open();
    const button = screen.getByRole('button', { name: 'Caption' });
    expect(button.getAttribute('aria-disabled')).toBe('true');
    expect(button.title).toBe('Select images to caption them');
    fireEvent.keyDown(cell('0.png'), { key: 'c' });
    fireEvent.click(button);
    expect(requests.filter(({ body }) => body !== null)).toEqual([]);
  });

  it('opens an image, captions it, and shows both stages with their settings and differences', async () => {
    const { copied } = await open();
    act(() => cell('0.png').focus());
    fireEvent.keyDown(cell('0.png'), { key: 'Enter' });
    const pane = screen.getByRole('region', { name: 'Compare' });
    expect(within(pane).getByText('1 of 12')).toBeDefined();
    expect(within(pane).getByRole('img', { name: 'Skin image 0.png' })).toBeDefined();
    expect(within(pane).getByText('Research use only, not for clinical use')).toBeDefined();
    fireEvent.click(within(pane).getByRole('button', { name: 'Caption this image' }));
    const b = await within(pane).findByRole('region', { name: 'Stage B' });
    expect(b.querySelector('.dc-Caption-text')!.textContent).toBe('a red plaque on the elbow');
    expect([...b.querySelectorAll('mark')].map(mark => mark.textContent)).toEqual(['a', 'on the elbow']);
    expect(within(b).getByText('beam 4, 24–60 tokens')).toBeDefined();
    expect(within(b).getByText('prompt b')).toBeDefined();
    expect(screen.queryByText(/these captions differ/)).toBeNull();
    fireEvent.click(within(b).getByRole('button', { name: 'Copy the caption of Stage B' }));
    expect(copied).toEqual(['a red plaque on the elbow']);
    fireEvent.keyDown(pane, { key: 'ArrowRight' });
    expect(within(pane).getByText('2 of 12')).toBeDefined();
    fireEvent.keyDown(pane, { key: 'Escape' });
    expect(screen.queryByRole('region', { name: 'Compare' })).toBeNull();
  });

  it('says that a folder has no images', async () => {
    await open({ total: 0 });
    expect(screen.getByText('This folder has no images yet.')).toBeDefined();
  });

  it('says what failed, the hint, and offers to try again', async () => {
    const { requests } = await open({
      error: { code: 'internal', message: 'Node stopped.', hint: 'See the log.' },
    });
    expect(screen.getByRole('alert').textContent).toContain('Node stopped.');
    expect(screen.getByText('See the log.')).toBeDefined();
    const before = requests.length;
    await act(async () => fireEvent.click(screen.getByRole('button', { name: 'Retry' })));
    expect(requests.length).toBeGreaterThan(before);
  });

  it('shows the images but no captioning when the release cannot be used', async () => {
    await open({ problem: 'The vision tower is missing.' });
    expect(
      screen.getByText(/The release “pair” cannot be used: The vision tower is missing\./),
    ).toBeDefined();
    fireEvent.click(cell('1.png'));
    expect(screen.getByRole('button', { name: 'Caption' }).getAttribute('aria-disabled')).toBe('true');
  });
});
