const SPLITS: Record<string, string> = {
  train: 'train',
  training: 'train',
  val: 'validation',
  valid: 'validation',
  validation: 'validation',
  dev: 'validation',
  test: 'test',
  testing: 'test',
};

/** The split that a name or a part of it stands for, by the names Hugging Face datasets knows; null for others. */
export function splitOfName(name: string): string | null {
  const parts = name
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]+/);
  for (const part of parts) if (Object.hasOwn(SPLITS, part)) return SPLITS[part]!;
  return null;
}

/** The split that a folder of a path or its file name stands for, the nearest to the root first. */
export function splitOfPath(path: string): string | null {
  for (const part of path.split('/')) {
    const split = splitOfName(part);
    if (split !== null) return split;
  }
  return null;
}
