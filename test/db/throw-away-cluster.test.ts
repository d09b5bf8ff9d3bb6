import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { embeddedLayout } from '../../src/db/embedded/layout.ts';
import { findPostmaster, stopPostmaster } from '../../src/db/embedded/postmaster.ts';
import { startThrowAwayCluster } from '../../src/db/embedded/throw-away-cluster.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { ask, killed } from '../support/embedded-sandbox.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';

const owner = new URL('../support/throw-away-owner.ts', import.meta.url).pathname;

let parent: string;
beforeEach(() => {
  parent = createScratchFolder();
});
afterEach(async () => {
  for (const name of readdirSync(parent)) {
    const server = findPostmaster(embeddedLayout(join(parent, name)).data);
    if (server.kind === 'ours') await stopPostmaster(server.process, { clock: systemClock, log: silentLog });
  }
  removeScratchFolder(parent);
});

test('what a killed process left goes with the next start; what lives stays, and what is removed is gone', async () => {
  const child = fork(owner, [parent], { execArgv: [], stdio: 'inherit' });
  await once(child, 'message');
  const [left = ''] = readdirSync(parent);
  const options = { log: silentLog, clock: systemClock, parent };

  const beside = await startThrowAwayCluster(options);
  expect(readdirSync(parent)).toHaveLength(2);
  await beside.remove();
  expect(readdirSync(parent)).toEqual([left]);

  await killed(child);
  const { data } = embeddedLayout(join(parent, left));
  expect(findPostmaster(data).kind).toBe('ours');
  const next = await startThrowAwayCluster(options);
  expect(findPostmaster(data).kind).toBe('absent');
  expect(readdirSync(parent)).not.toContain(left);
  expect(await ask(next.connectionString, 'show fsync')).toEqual([{ fsync: 'off' }]);
  await next.remove();
  expect(readdirSync(parent)).toEqual([]);
});
