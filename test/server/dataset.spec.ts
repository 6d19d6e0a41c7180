import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLI } from './study.js';

const FIXTURES = join(import.meta.dirname, '..', 'fixtures', 'datasets');
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dermcap-inspect-'));
});
afterAll(() => rm(folder, { recursive: true }));

function inspect(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise(resolve => {
    execFile(process.execPath, [CLI, 'dataset', 'inspect', ...args], (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

describe('dermcap dataset inspect', () => {
  it('says what Parquet shards hold and that all of it can be used', async () => {
    const { code, stdout } = await inspect(join(FIXTURES, 'shards', 'data'), '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      kind: 'parquet-shards',
      rows: 7,
      images: 7,
      references: 7,
      labels: { melanoma: 4, nevus: 3 },
      splits: { train: 5, test: 2 },
      mapping: { image: ['image'], captions: ['caption'], label: ['label'] },
      findings: {},
    });
  });

  it('names the known dataset and what is missing, and ends with 1', async () => {
    const { code, stdout, stderr } = await inspect(join(FIXTURES, 'workbooks', 'skincap_v240715.xlsx'));
    expect(code).toBe(1);
    expect(stderr).toBe('');
    expect(stdout).toContain('Excel workbook, known as skincap-xlsx');
    expect(stdout).toContain('Its header stands in row 2.');
    expect(stdout).toMatch(/captions\s+caption_en/);
    expect(stdout).toContain('3 missing');
    expect(stdout).toContain(
      '“skincap_v240715.xlsx”, row 1: it names “1.png”, which is not in the dataset’s folder.',
    );
  });

  it('refuses DICOM files that name a person until it is told to take the pixels alone', async () => {
    const { code, stdout } = await inspect(join(FIXTURES, 'dicom'));
    expect(code).toBe(1);
    expect(stdout).toContain(
      '“refused-named.dcm” can tell whose picture it is: it has PatientName, PatientBirthDate.',
    );
    expect(stdout).not.toMatch(/Doe|1970/);
    const stripped = await inspect(join(FIXTURES, 'dicom'), '--strip-dicom');
    expect(stripped.stdout).not.toContain('refused-named.dcm” can tell');
  });

  it('says where a file is damaged', async () => {
    await writeFile(join(folder, 'data.csv'), 'image,caption\na.png,"never closed\n');
    const { code, stdout, stderr } = await inspect(join(folder, 'data.csv'), '--json');
    expect(code).toBe(2);
    expect(stderr).toContain('“data.csv”, row 1');
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'dataset-damaged' } });
  });
});
