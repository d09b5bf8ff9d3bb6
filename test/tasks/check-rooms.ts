import { readdir, readFile } from 'node:fs/promises';
import { roomViolations } from './rooms.ts';

const source = new URL('../../src/', import.meta.url);
const paths = (await readdir(source, { recursive: true })).filter((path) => path.endsWith('.ts')).sort();
const files = await Promise.all(
  paths.map(async (path) => ({
    path: path.replaceAll('\\', '/'),
    text: await readFile(new URL(path, source), 'utf8'),
  })),
);
const violations = roomViolations(files);
for (const violation of violations) console.error(violation);
console.log(`rooms: ${files.length} files, ${violations.length} wrong imports`);
// An empty tree would be clean too.
if (violations.length > 0 || files.length === 0) process.exitCode = 1;
