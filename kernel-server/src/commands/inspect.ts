/** `dermcap inspect`: what a release is, every key accounted for. */
import type { Command } from 'commander';
import type { ReleaseInspection } from '@dermcap/models';

type Architecture = ReleaseInspection['stages'][number]['architecture'];

interface InspectFlags {
  release?: string;
  clip?: string;
  cache?: string;
  json: boolean;
}

export function defineInspect(program: Command): void {
  program
    .command('inspect')
    .description('show the architecture, keys, LoRA, training configuration and shared tensors of a release')
    .option('--release <dir>', 'folder with best_stageA.pt, best_stageB.pt (default: the demo release)')
    .option('--clip <dir>', 'vision tower (default: the release’s own, else DERMCAP_CLIP_PATH)')
    .option('--cache <dir>', 'where hashes are kept')
    .option('--json', 'as JSON, with every key and setting', false)
    .action(async (flags: InspectFlags) => {
      const { inspectRelease } = await import('@dermcap/models');
      const { describeRelease } = await import('@dermcap/models/release');
      const { clipPath, demoReleaseDir } = await import('../engine/releases.js');
      const folder = flags.release ?? demoReleaseDir();
      const own = flags.clip === undefined ? (await describeRelease(folder)).clipDir : null;
      const inspection = await inspectRelease(folder, {
        clipDir: own ?? clipPath(flags.clip) ?? undefined,
        cacheDir: flags.cache,
      });
      process.stdout.write(flags.json ? `${JSON.stringify(inspection, null, 2)}\n` : readable(inspection));
    });
}

/** The inspection as text, a block per stage, pair and tower. */
function readable({ name, folder, stages, sharing, clip }: ReleaseInspection): string {
  const lines = [`Release ${name}  (${folder})`];
  for (const { id, file, sha256, unwrapped, architecture, config } of stages) {
    const { sizes, layers, headsFrom, projector, tiedHead, lora, dtypes, keys } = architecture;
    lines.push('', `${id === 'final' ? 'Final' : `Stage ${stageName(id)}`}  ${file}`);
    lines.push(
      ...rows([
        ['sha256', sha256],
        [
          'GPT-2',
          `${layers} layers, width ${sizes.width}, ${sizes.heads} heads (${headsFrom}), ` +
            `${sizes.vocabulary} tokens, ${sizes.positions} positions, head ${tiedHead ? 'tied' : 'of its own'}`,
        ],
        ['projector', projectorSummary(projector, sizes.width)],
        ['LoRA', lora.length === 0 ? 'none' : loraSummary(lora)],
        ['element types', counted(dtypes)],
        ['keys', keysSummary(keys)],
        ...(unwrapped.length > 0 ? [['unwrapped', unwrapped.join(', ')] as const] : []),
      ]),
    );
    lines.push(...ignoredKeys(keys.ignored), '  training configuration');
    lines.push(
      ...rows(
        Object.entries(config).map(([key, value]) => [key, JSON.stringify(value)]),
        4,
      ),
    );
  }
  for (const { stages: pair, equalBytes, totalBytes, share, different } of sharing) {
    lines.push('', `Stages ${pair.map(stageName).join(' and ')} share`);
    lines.push(
      ...rows([
        ['equal', `${megabytes(equalBytes)} of ${megabytes(totalBytes)} (${(100 * share).toFixed(1)} %)`],
        ['different', different.length === 0 ? 'nothing' : different.join(', ')],
      ]),
    );
  }
  lines.push('');
  if (clip === null) {
    lines.push('No vision tower: name one with --clip.');
  } else {
    const { sizes } = clip;
    lines.push(`Vision tower ${clip.name}  (${clip.folder})`);
    lines.push(
      ...rows([
        ['sha256', clip.sha256],
        ['class', `${clip.kind}, ${clip.form.activation}, pooled by its ${clip.form.pooling}`],
        [
          'ViT',
          `${clip.layers} layers, width ${sizes.width}, ${sizes.heads} heads, ${sizes.imageSize} px in patches of ` +
            `${sizes.patchSize}, embedding ${sizes.embedding}`,
        ],
        ['mean, std', `${clip.mean.join(' ')}, ${clip.std.join(' ')}`],
        ['keys', keysSummary(clip.keys)],
        ['text tower', textSummary(clip.text)],
        ...clip.doubts.map(doubt => ['doubt', doubt] as const),
      ]),
      ...ignoredKeys(clip.keys.ignored),
    );
  }
  return `${lines.join('\n')}\n`;
}

function stageName(id: string): string {
  return id === 'final' ? 'Final' : id.toUpperCase();
}

function rows(entries: readonly (readonly [string, string])[], indent = 2): string[] {
  const width = Math.max(0, ...entries.map(([label]) => label.length));
  return entries.map(([label, value]) => `${' '.repeat(indent)}${label.padEnd(width)}  ${value}`);
}

const PROJECTORS = {
  prefix: 'two layers with GELU',
  'clipcap-mlp': 'ClipCap’s MLP',
  'clipcap-linear': 'ClipCap’s linear layer',
  'clipcap-transformer': 'ClipCap’s transformer',
};

function projectorSummary(
  { kind, name, input, embedding, hidden, layers, slots }: Architecture['projector'],
  width: number,
): string {
  const middle = hidden !== null ? ` → ${hidden}` : layers > 0 ? ` → ${layers} layers` : '';
  const takes = input === 'embedding' ? 'of unit length' : 'as the tower gives it';
  return `${embedding}${middle} → ${slots} prefix slots × ${width}  (${PROJECTORS[kind]}, \`${name}\`; embedding ${takes})`;
}

function textSummary(text: NonNullable<ReleaseInspection['clip']>['text']): string {
  if ('problem' in text) return `none that can be used: ${text.problem}`;
  const { kind, form, layers, maxTokens, keys } = text;
  return (
    `${kind === 'bert' ? 'BERT' : 'CLIP'}, ${layers} layers, ${form.heads} heads, ${form.activation}, ` +
    `at most ${maxTokens} tokens; ${keys.used.length} keys used`
  );
}

function loraSummary(lora: Architecture['lora']): string {
  return lora.map(({ layer, rank, scale }) => `${layer} (rank ${rank}, scale ${scale})`).join(', ');
}

function counted(counts: Record<string, number>): string {
  return Object.entries(counts)
    .map(([type, count]) => `${type} × ${count}`)
    .join(', ');
}

function keysSummary({ used, ignored }: { used: readonly unknown[]; ignored: readonly unknown[] }): string {
  return `${used.length} used, ${ignored.length} ignored, none missing`;
}

/** Ignored keys by reason, as a tower brings a hundred of its text half. */
function ignoredKeys(ignored: readonly { key: string; reason: string }[]): string[] {
  const byReason = new Map<string, string[]>();
  for (const { key, reason } of ignored) byReason.set(reason, [...(byReason.get(reason) ?? []), key]);
  return [...byReason].map(([reason, keys]) => {
    const named = keys.slice(0, 3);
    return `    ignored (${reason}): ${named.join(', ')}${keys.length > 3 ? ` and ${keys.length - 3} more` : ''}`;
  });
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
