/** What the YAML of this repository holds. */
export type Yaml = string | number | boolean | null | readonly Yaml[] | { readonly [key: string]: Yaml };

interface Line {
  readonly indent: number;
  readonly text: string;
  readonly number: number;
}

/**
 * Reads the part of YAML that deploy/ is written in: maps and lists by indentation, plain and quoted scalars, `|` and `>-`
 * blocks, flow lists of scalars. Anything else is an error and not a guess, so a file that this reads means the same to
 * every reader. promtool and compose read the same files in .ci/run.
 */
export function readYaml(source: string): Yaml {
  const raw = source.split('\n').map((text, index) => {
    if (text.includes('\t')) throw new Error(`line ${index + 1}: a tab`);
    return { indent: text.length - text.trimStart().length, text: text.trim(), number: index + 1 };
  });
  let at = 0;
  const skip = () => {
    while (at < raw.length && /^(?:#.*)?$/.test(raw[at]?.text ?? '')) at += 1;
  };
  const peek = (): Line | undefined => {
    skip();
    return raw[at];
  };

  function block(indent: number): Yaml {
    return peek()?.text.startsWith('-') ? list(indent) : map(indent);
  }

  function list(indent: number): Yaml[] {
    const items: Yaml[] = [];
    for (let line = peek(); line?.indent === indent && /^-(?: |$)/.test(line.text); line = peek()) {
      const rest = line.text.slice(1).trimStart();
      if (/^[\w./-]+:(?: |$)/.test(rest)) {
        // A map whose first key stands behind the dash: the same map without it, as far to the right.
        const inner = line.indent + line.text.length - rest.length;
        raw[at] = { ...line, indent: inner, text: rest };
        items.push(map(inner));
      } else {
        at += 1;
        items.push(scalar(rest, line));
      }
    }
    return items;
  }

  function map(indent: number): Record<string, Yaml> {
    const entries: Record<string, Yaml> = {};
    for (let line = peek(); line?.indent === indent; line = peek()) {
      const [, key = '', rest = ''] = /^([\w./-]+|"[^"]+"):(?: +(.*))?$/.exec(line.text) ?? [];
      if (key === '') throw new Error(`line ${line.number}: expected a key, got ${line.text}`);
      if (key in entries) throw new Error(`line ${line.number}: ${key} twice`);
      at += 1;
      entries[key.replaceAll('"', '')] = behindKey(rest, line);
    }
    const next = peek();
    if (next && next.indent > indent) throw new Error(`line ${next.number}: indented for no reason`);
    return entries;
  }

  function behindKey(rest: string, line: Line): Yaml {
    if (rest === '|' || rest === '>-') return folded(rest, line);
    if (rest !== '' && !rest.startsWith('#')) return scalar(rest, line);
    const next = peek();
    const isBelow = next && (next.indent > line.indent || (next.indent === line.indent && next.text.startsWith('-')));
    return isBelow ? block(next.indent) : null;
  }

  function folded(style: string, line: Line): string {
    const lines: string[] = [];
    for (; at < raw.length && ((raw[at]?.indent ?? 0) > line.indent || raw[at]?.text === ''); at += 1)
      lines.push(raw[at]?.text ?? '');
    return lines.join(style === '|' ? '\n' : ' ').trimEnd();
  }

  function scalar(text: string, line: Line): Yaml {
    const wrong = () => new Error(`line ${line.number}: ${text} is not read here`);
    if (text.startsWith('"')) {
      if (!/^"(?:[^"\\]|\\.)*"$/.test(text)) throw wrong();
      return JSON.parse(text) as string;
    }
    if (text.startsWith("'")) {
      if (!/^'(?:[^']|'')*'$/.test(text)) throw wrong();
      return text.slice(1, -1).replaceAll("''", "'");
    }
    if (text.startsWith('[')) {
      if (!text.endsWith(']')) throw wrong();
      const inner = text.slice(1, -1).trim();
      return inner === ''
        ? []
        : inner.split(/,\s*(?=(?:[^"]*"[^"]*")*[^"]*$)/).map((item) => scalar(item.trim(), line));
    }
    if (text === '{}') return {};
    // A colon or a hash inside would mean something else to a reader of all of YAML.
    if (/^[{&*!|>%@`]|: | #/.test(text)) throw wrong();
    if (/^-?\d+(?:\.\d+)?$/.test(text)) return Number(text);
    if (text === 'true' || text === 'false') return text === 'true';
    return text === 'null' ? null : text;
  }

  const first = peek();
  const read = first ? block(first.indent) : null;
  const left = peek();
  if (left) throw new Error(`line ${left.number}: ${left.text} belongs to nothing`);
  return read;
}
