import { call } from './api-client.ts';
import { query } from './options.ts';
import type { Transport } from './transport.ts';

type Page<T> = Readonly<Record<string, readonly T[]>> & { readonly next_cursor?: string | null };

/** All items of a list of the API that comes in pages, or the first `most` of them. */
export async function readPages<T>(
  transport: Transport,
  path: string,
  key: string,
  options: { readonly most?: number; readonly filter?: Readonly<Record<string, string | undefined>> } = {},
): Promise<T[]> {
  const { most = Number.POSITIVE_INFINITY, filter = {} } = options;
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const limit = Math.min(100, most - items.length);
    const page: Page<T> = await call<Page<T>>(transport, {
      method: 'GET',
      path: `${path}${query({ ...filter, limit, cursor })}`,
    });
    items.push(...(page[key] ?? []));
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined && items.length < most);
  return items;
}
