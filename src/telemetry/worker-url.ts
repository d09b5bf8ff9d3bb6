import { extname } from 'node:path';

/**
 * Where a worker thread's file is: beside its caller, `.ts` when run from source and `.js` when run from `dist/`. The
 * compiler rewrites the extensions of imports but not of paths given to `new Worker`.
 *
 * @param importMetaUrl the caller's `import.meta.url`.
 * @param relativePath without extension, e.g. `./embed-worker`.
 */
export function workerUrl(importMetaUrl: string, relativePath: string): URL {
  return new URL(`${relativePath}${extname(new URL(importMetaUrl).pathname)}`, importMetaUrl);
}
