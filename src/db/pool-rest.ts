import type pg from 'pg';

/** Ends the connections of a pool without ending the pool, which pg-pool itself has no call for. */
export interface PoolRest {
  /** Whether a connection that comes back is to end. */
  isRetired(client: pg.PoolClient): boolean;
  /** Ends every connection there is now, and resolves when the last of them has. Until {@link rouse} none is kept. */
  rest(): Promise<void>;
  rouse(): void;
}

export function createPoolRest(pool: pg.Pool): PoolRest {
  const standing = new Set<pg.PoolClient>();
  const retired = new Set<pg.PoolClient>();
  let isResting = false;
  pool.on('connect', (client) => standing.add(client));
  pool.on('remove', (client) => {
    standing.delete(client);
    retired.delete(client);
  });

  return {
    isRetired: (client) => isResting || retired.has(client),

    rouse() {
      isResting = false;
    },

    rest() {
      isResting = true;
      for (const client of standing) retired.add(client);
      const leaving = new Set(retired);
      if (leaving.size === 0) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      const onRemove = (client: pg.PoolClient) => {
        leaving.delete(client);
        if (leaving.size > 0) return;
        pool.off('remove', onRemove);
        resolve();
      };
      pool.on('remove', onRemove);
      // Only who has an idle connection can end it: each is taken out once more and not given back. Where somebody was
      // faster a new one may come instead, which nobody wants either.
      for (let idle = pool.idleCount; idle > 0; idle -= 1) pool.connect((_error, client) => client?.release(true));
      return promise;
    },
  };
}
