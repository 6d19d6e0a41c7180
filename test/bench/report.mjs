/**
 * A row of the result:
 * - `name`; `unit`: 's', 'ms' or '×'
 * - `ours`, `reference`: time, or null where it was not measured
 * - `ratio`: reference ÷ ours, per step of decoding; for the cost of a pair, pair ÷ one stage
 * - `bound`: what the machine allows at best, in the same unit; `ofBound` = bound ÷ ours
 * - `peakRssMB`: our process's peak; `memory`: of both sides, in MB, `anonymous` apart from `mapped` pages of files
 * - `goal`: { least } or { most } for the ratio (of loading: for the seconds until it is ready)
 * - captions also: `steps`, `equalTokens`, `attention` of the reference
 * - `problem` instead of figures, in words
 */
import { writeFile } from 'node:fs/promises';

export function resultOf({ name, goal }, result, bound) {
  if (result.problem) return { name, goal, problem: result.problem };
  const { ours, reference, steps, equalTokens, attention } = result;
  const perStep = (seconds, count) => seconds / (count ?? 1);
  const ratio =
    reference && perStep(reference.seconds, steps?.reference) / perStep(ours.seconds, steps?.ours);
  const decoding = steps ? { steps, equalTokens, attention } : {};
  return {
    name,
    unit: 's',
    ours: ours.seconds,
    reference: reference?.seconds ?? null,
    ratio: ratio ?? null,
    bound,
    ofBound: bound / ours.seconds,
    peakRssMB: megabytes(ours.memory?.resident),
    memory: { ours: inMegabytes(ours.memory), reference: inMegabytes(reference?.memory) },
    goal,
    ...decoding,
  };
}

/** The cost of a pair in stages: of ours, of the reference, and of the machine at its best. */
export function costResult({ name, of, over, goal }, results, bounds) {
  const [pair, one] = [results.get(of), results.get(over)];
  const problem = pair.problem ?? one.problem;
  if (problem) return { name, goal, problem };
  const ours = pair.ours.seconds / one.ours.seconds;
  const bound = bounds.get(of) / bounds.get(over);
  const reference = pair.reference && pair.reference.seconds / one.reference.seconds;
  const peakRssMB = megabytes(pair.ours.memory?.resident);
  return { name, unit: '×', ours, reference, ratio: ours, bound, ofBound: bound / ours, peakRssMB, goal };
}

function megabytes(bytes) {
  return bytes ? Math.round(bytes / 1e6) : null;
}

function inMegabytes(memory) {
  return memory
    ? Object.fromEntries(Object.entries(memory).map(([key, bytes]) => [key, megabytes(bytes)]))
    : null;
}

/** Prints tables, or writes JSON to a file or stdout (`-`). */
export async function report({ machine, reference, rows, loads, json, quick, repeats }) {
  const load = loads.map(({ memory, ...row }) => ({ ...row, memory: inMegabytes(memory) }));
  const text = JSON.stringify({ machine, reference, quick, repeats, rows, load }, null, 2);
  if (json === '-') return void process.stdout.write(`${text}\n`);
  if (json !== undefined) await writeFile(json, `${text}\n`);
  process.stdout.write(tables({ machine, reference, rows, load, quick }));
}

function tables({ machine, reference, rows, load, quick }) {
  const lines = [
    `${machine.processor}, ${machine.threads} threads: reads ${giga(machine.bandwidth)} GB/s; multiply-adds ` +
      `${giga(machine.fp32)} G/s fp32, ${giga(machine.int8)} G/s int8 (exact: ${machine.int8Exact.join(', ')})`,
    reference
      ? `reference: ${Object.entries(reference).flat().join(' ')}`
      : 'No reference: name a Python with its packages in DERMCAP_REFERENCE_PYTHON. Ours only.',
    ...(quick ? ['Quick: one round, 1 image. Not for citing.'] : []),
    '',
    table(
      ['', 'ours', 'reference', 'ratio', 'goal', 'bound', 'of bound', 'peak MB', 'own + mapped', 'notes'],
      rows.map(cells),
    ),
  ];
  if (load.length > 0)
    lines.push(
      '',
      table(
        ['load', 'ready', 'goal', 'first caption', 'peak MB', 'own + mapped', ''],
        load.map(row =>
          row.problem
            ? [row.name, '–', goalText(row.goal, null, ' s'), '–', '', '', row.problem]
            : [
                row.name,
                seconds(row.seconds),
                goalText(row.goal, row.seconds, ' s'),
                seconds(row.firstCaptionSeconds),
                number(row.memory?.resident),
                ownAndMapped(row.memory),
                '',
              ],
        ),
      ),
    );
  return `${lines.join('\n')}\n`;
}

function cells(row) {
  if (row.problem) return [row.name, '–', '–', '–', goalText(row.goal), '', '', '', '', row.problem];
  const show = value => quantity(value, row.unit);
  return [
    row.name,
    show(row.ours),
    show(row.reference),
    row.ratio == null ? '–' : `${row.ratio.toFixed(2)}×`,
    goalText(row.goal, row.ratio),
    show(row.bound),
    row.ofBound == null ? '–' : `${Math.round(100 * row.ofBound)} %`,
    number(row.peakRssMB),
    ownAndMapped(row.memory?.ours),
    notes(row),
  ];
}

function notes({ steps, equalTokens, attention, note }) {
  const notes = note === undefined ? [] : [note];
  if (attention) notes.push(attention);
  if (steps && (steps.reference === null || steps.ours === steps.reference))
    notes.push(`${steps.ours} steps`);
  else if (steps) notes.push(`${steps.ours} and ${steps.reference} steps`);
  if (equalTokens != null) notes.push(equalTokens ? 'equal tokens' : 'other tokens');
  return notes.join(', ');
}

function goalText(goal, figure, unit = '×') {
  if (!goal) return '';
  const isMet = figure == null ? null : goal.least === undefined ? figure <= goal.most : figure >= goal.least;
  const text = goal.least === undefined ? `≤ ${goal.most}${unit}` : `≥ ${goal.least}${unit}`;
  return isMet === null ? text : `${text} ${isMet ? '✓' : '✗'}`;
}

function quantity(value, unit) {
  if (value == null) return '–';
  if (unit === '×') return `${value.toFixed(2)}×`;
  if (unit === 'ms') return `${value.toFixed(1)} ms`;
  return seconds(value);
}

function seconds(value) {
  return value < 1 ? `${(1000 * value).toFixed(0)} ms` : `${value.toFixed(2)} s`;
}

function giga(value) {
  return (value / 1e9).toFixed(0);
}

function number(value) {
  return value == null ? '–' : String(value);
}

function ownAndMapped(memory) {
  return memory ? `${memory.anonymous} + ${memory.mapped}` : '–';
}

/** A Markdown table, aligned. */
function table(head, rows) {
  const widths = head.map((title, c) =>
    Math.max(3, ...[title, ...rows.map(row => row[c])].map(s => s.length)),
  );
  const line = row =>
    `| ${row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c]))).join(' | ')} |`;
  const rule = `|${widths.map((width, c) => '-'.repeat(width + 1) + (c === 0 ? '-' : ':')).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}
