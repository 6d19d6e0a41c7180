/** What `dermcap explain` shows people: a table of tokens per text, and maps drawn in characters. */
import Table from 'cli-table3';
import type { ExplainReport } from './explain-report.js';

type Text = ExplainReport['texts'][number];

export function readableExplanation(report: ExplainReport): string {
  const { vision } = report;
  return [
    `${report.image}, release ${report.release}, exact on ${report.provider}.`,
    ...report.texts.flatMap(readableText),
    '',
    'What of the patches reaches the image embedding (attention rollout of the vision tower; says nothing of a text):',
    ...drawn(vision.rollout),
    '',
    'Attention and saliency show what the model reads and reacts to, not why it is right or wrong.',
    'A prefix slot is not a place in the image. Research use only, not for clinical use.',
    '',
  ]
    .map(printable)
    .join('\n');
}

function readableText({ text, writtenBy, readings, divergences, saliency }: Text): string[] {
  const [divergence] = divergences.length === 1 ? divergences : [];
  const source = writtenBy === null ? 'Text given' : `Caption of stage ${name(writtenBy)}`;
  const table = new Table({
    head: [
      'Token',
      ...readings.flatMap(({ stage }) => [
        `${name(stage)}: log p`,
        'rank',
        'rather',
        'prefix / prompt / text',
      ]),
      ...(divergence ? ['JS'] : []),
    ].map(printable),
    // No rules between the tokens: a caption has sixty.
    chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
    style: { head: [], border: [] },
  });
  readings[0]!.tokens.forEach((token, i) => {
    table.push([
      printable(JSON.stringify(token.text)),
      ...readings.flatMap(({ tokens, shares }) => {
        // Stages of another vocabulary have tokens of their own.
        const own = tokens.length === readings[0]!.tokens.length ? tokens[i] : undefined;
        const share = shares[i];
        if (!own || !share) return ['', '', '', ''];
        const better = own.alternatives[0];
        return [
          own.logProbability.toFixed(2),
          String(own.rank),
          own.rank > 1 && better ? printable(JSON.stringify(better.text)) : '',
          [share.prefix, share.prompt, share.earlier].map(part => `${Math.round(100 * part)} %`).join(' / '),
        ];
      }),
      ...(divergence ? [divergence.jensenShannon[i]!.toFixed(3)] : []),
    ]);
  });
  return [
    '',
    `${source}: ${text}`,
    table.toString(),
    ...readings.map(
      ({ stage, logLikelihood, meanLogProbability, tokens }) =>
        `Log-likelihood under stage ${name(stage)}: ${logLikelihood.toFixed(2)} nats, ` +
        `${meanLogProbability.toFixed(2)} a token (${tokens.length} tokens).`,
    ),
    ...saliency.flatMap(map => {
      const whole = map.tokens.length === readings[0]!.tokens.length;
      const words = map.tokens.map(token => readings[0]!.tokens[token]?.text ?? '').join('');
      return [
        '',
        `Saliency for stage ${name(map.stage)}, ${whole ? 'the whole text' : `“${words.trim()}”`}: ${map.measure}.`,
        ...drawn(map.values),
      ];
    }),
  ];
}

const SHADES = [' ', '░', '▒', '▓', '█'];

/** Two characters a cell, as a character is half as wide as it is high; with the range of values below. */
function drawn(values: readonly number[][]): string[] {
  const flat = values.flat();
  const [low, high] = [Math.min(...flat), Math.max(...flat)];
  const shade = (value: number) =>
    SHADES[Math.min(SHADES.length - 1, Math.floor(((value - low) / (high - low || 1)) * SHADES.length))]!;
  return [
    ...values.map(row => `  │${row.map(value => shade(value).repeat(2)).join('')}│`),
    `  from ${low.toPrecision(3)} (blank) to ${high.toPrecision(3)} (█)`,
  ];
}

function name(stage: string): string {
  return stage === 'final' ? 'Final' : stage.toUpperCase();
}

/** File names and captions must not steer the terminal (CWE-150). */
function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n]/gu, '\u{fffd}');
}
