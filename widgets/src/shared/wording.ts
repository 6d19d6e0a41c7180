import type { Caption, Decoding, StageId } from '@dermcap/kernel-server/contract';
import type { TranslationBundle } from '@jupyterlab/translation';

/** The letter on a stage's chip. */
export function stageLetter(stage: StageId): string {
  return stage === 'final' ? 'F' : stage.toUpperCase();
}

export function stageName(stage: StageId, trans: TranslationBundle): string {
  return stage === 'final' ? trans.__('Final') : trans.__('Stage %1', stageLetter(stage));
}

/** "A + B" */
export function stageLetters(stages: readonly StageId[]): string {
  return stages.map(stageLetter).join(' + ');
}

/** "1,200", in the browser's language. */
export function count(n: number): string {
  return n.toLocaleString();
}

/** "beam 4, 24–60 tokens" */
export function decodingSummary(decoding: Decoding, trans: TranslationBundle): string {
  const search = decoding.doSample
    ? trans.__('sampled')
    : decoding.numBeams === 1
      ? trans.__('greedy')
      : trans.__('beam %1', decoding.numBeams);
  return trans.__('%1, %2–%3 tokens', search, decoding.minNewTokens, decoding.maxNewTokens);
}

/** "380 ms", "1.2 s" */
export function duration(ms: number, trans: TranslationBundle): string {
  return ms < 1000 ? trans.__('%1 ms', Math.round(ms)) : trans.__('%1 s', (ms / 1000).toFixed(1));
}

/** "about 2 min left", from images still to do and images per second. */
export function timeLeft(images: number, imagesPerSecond: number, trans: TranslationBundle): string {
  const seconds = images / imagesPerSecond;
  if (seconds < 50) return trans.__('less than a minute left');
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return trans.__('about %1 min left', minutes);
  return trans.__('about %1 h left', Math.round(minutes / 60));
}

/** In which settings two captions of one image differ, beside their stage: then the stages are not all that differs. */
export function settingsThatDiffer(a: Caption, b: Caption, trans: TranslationBundle): string[] {
  const settings: [string, unknown, unknown][] = [
    // By name: the hash is that of the stage's own file.
    [trans.__('release'), a.release.name, b.release.name],
    [trans.__('vision tower'), a.clip.sha256, b.clip.sha256],
    [trans.__('decoding'), JSON.stringify(a.decoding), JSON.stringify(b.decoding)],
    [trans.__('precision'), a.precision, b.precision],
    [trans.__('preprocessing'), a.preprocess, b.preprocess],
    [trans.__('orientation'), a.autoOrient, b.autoOrient],
  ];
  return settings.filter(([, ofA, ofB]) => ofA !== ofB).map(([name]) => name);
}
