/** Longer cells are text, whatever they begin with (CWE-770). */
const MAX_LITERAL_CHARACTERS = 100_000;
const MAX_DEPTH = 16;

const ESCAPES: Record<string, string> = {
  n: '\n',
  t: '\t',
  r: '\r',
  b: '\b',
  f: '\f',
  v: '\v',
  '/': '/',
  "'": "'",
  '"': '"',
  '\\': '\\',
};

/**
 * A list or dictionary that a program wrote into a cell, as JSON or as Python prints it (`{'Eczema': 0.6}`,
 * `['a', "b's"]`; Python language reference, section 2.4): lists, tuples, dictionaries, strings, numbers, `True`,
 * `False`, `None`, `nan`.
 * @returns undefined when the text is none
 */
export function parseLiteral(text: string): unknown[] | Map<string, unknown> | undefined {
  const trimmed = text.trim();
  if (!/^[[{(].*[\]})]$/s.test(trimmed) || trimmed.length > MAX_LITERAL_CHARACTERS) return undefined;
  try {
    const reader = new Reader(trimmed);
    const value = reader.value(0);
    if (!reader.ended()) return undefined;
    return Array.isArray(value) || value instanceof Map ? value : undefined;
  } catch (error) {
    if (error instanceof NotALiteral) return undefined;
    throw error;
  }
}

class NotALiteral extends Error {}

class Reader {
  #at = 0;

  constructor(readonly text: string) {}

  ended(): boolean {
    this.#space();
    return this.#at === this.text.length;
  }

  value(depth: number): unknown {
    if (depth > MAX_DEPTH) throw new NotALiteral();
    this.#space();
    const char = this.text[this.#at];
    if (char === '[' || char === '(') return this.#list(char === '[' ? ']' : ')', depth);
    if (char === '{') return this.#dictionary(depth);
    if (char === "'" || char === '"') return this.#string(char);
    return this.#word();
  }

  #list(end: string, depth: number): unknown[] {
    const items: unknown[] = [];
    this.#at++;
    while (!this.#take(end)) {
      items.push(this.value(depth + 1));
      if (!this.#take(',') && !this.#peek(end)) throw new NotALiteral();
    }
    return items;
  }

  #dictionary(depth: number): Map<string, unknown> {
    const entries = new Map<string, unknown>();
    this.#at++;
    while (!this.#take('}')) {
      const key = this.value(depth + 1);
      if (typeof key === 'object' || !this.#take(':')) throw new NotALiteral();
      entries.set(String(key), this.value(depth + 1));
      if (!this.#take(',') && !this.#peek('}')) throw new NotALiteral();
    }
    return entries;
  }

  #string(quote: string): string {
    let value = '';
    for (this.#at++; this.#at < this.text.length; this.#at++) {
      const char = this.text[this.#at]!;
      if (char === quote) {
        this.#at++;
        return value;
      }
      if (char !== '\\') {
        value += char;
        continue;
      }
      const next = this.text[++this.#at] ?? '';
      const code = /^(?:u[\da-fA-F]{4}|x[\da-fA-F]{2})/.exec(this.text.slice(this.#at, this.#at + 5))?.[0];
      if (code) {
        value += String.fromCharCode(Number.parseInt(code.slice(1), 16));
        this.#at += code.length - 1;
      } else {
        value += ESCAPES[next] ?? `\\${next}`;
      }
    }
    throw new NotALiteral();
  }

  #word(): unknown {
    const word = /^[-+.\w]+/.exec(this.text.slice(this.#at, this.#at + 64))?.[0];
    if (word === undefined) throw new NotALiteral();
    this.#at += word.length;
    if (/^(?:True|true)$/.test(word)) return true;
    if (/^(?:False|false)$/.test(word)) return false;
    if (/^(?:None|null|nan|NaN)$/.test(word)) return null;
    const number = Number(word);
    if (Number.isNaN(number)) throw new NotALiteral();
    return number;
  }

  #space(): void {
    while (/\s/.test(this.text[this.#at] ?? '')) this.#at++;
  }

  #peek(char: string): boolean {
    this.#space();
    return this.text[this.#at] === char;
  }

  #take(char: string): boolean {
    if (!this.#peek(char)) return false;
    this.#at++;
    return true;
  }
}
