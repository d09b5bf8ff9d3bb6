import type { Terminal } from '../terminal.ts';
import { lineDiff } from './line-diff.ts';
import { type FileState, type PlacedFile, readIfThere, stateOf } from './service-files.ts';
import type { ServicePlan } from './service-plan.ts';

type Styles = Pick<Terminal, 'bold' | 'dim' | 'green' | 'red' | 'yellow'>;

/** What `service install` would do, line by line. */
export function showPlan(plan: ServicePlan, styles: Styles): string[] {
  return [
    ...(plan.obstacle === undefined ? [] : [styles.yellow(`not here: ${plan.obstacle}`), '']),
    ...plan.files.flatMap((file) => [...showFile(file, styles), '']),
    ...[...plan.prepare, ...plan.start].map((command) => `$ ${command.map(quoted).join(' ')}`),
    ...plan.hints.map((hint) => styles.dim(hint)),
  ];
}

function showFile(file: PlacedFile, styles: Styles): string[] {
  const state = stateOf(file);
  const title = `${styles.bold(file.path)}  ${styles.dim(inWords[state])}`;
  if (state === 'same') return [title];
  const lines = lineDiff(readIfThere(file.path) ?? '', file.content);
  // A file that is not there yet is nothing but additions; its end of line is not one of them.
  if (state === 'absent') return [title, ...file.content.trimEnd().split('\n')];
  return [title, ...lines.map((line) => coloured(line, styles))];
}

const inWords: Readonly<Record<FileState, string>> = {
  absent: 'new',
  same: 'as it is',
  drifted: 'would change',
  foreign: 'not ours: only with --force',
};

function coloured(line: string, styles: Styles): string {
  if (line.startsWith('+')) return styles.green(line);
  return line.startsWith('-') ? styles.red(line) : styles.dim(line);
}

function quoted(word: string): string {
  return /^[\w./:@=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
