import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** Real daemons and commands, killed, restored and left to sleep: most of their time is waiting, and a suite of their own. */
const processes = ['test/crash/**/*.test.ts', 'test/life/**/*.test.ts'];

const onPostgres = {
  globalSetup: ['test/support/global-postgres.ts'],
  setupFiles: ['test/support/lease-backstop.ts'],
  pool: 'forks' as const,
  testTimeout: 30_000,
  hookTimeout: 60_000,
  // Only what fails waits this long. A second, the default, is what a daemon takes to start beside two other files.
  expect: { poll: { timeout: 15_000 } },
};

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'default',
          include: ['test/**/*.test.ts'],
          exclude: ['test/containers/**', ...processes],
          // One more than there are cores: files wait for locks and answers. On two, 240 s instead of 295 s. The server
          // has connections for eight.
          maxWorkers: Math.min(availableParallelism() + 1, 8),
          ...onPostgres,
        },
      },
      {
        test: {
          name: 'processes',
          include: processes,
          maxWorkers: 2,
          ...onPostgres,
        },
      },
      {
        test: {
          name: 'containers',
          include: ['test/containers/**/*.test.ts'],
          pool: 'forks',
          maxWorkers: 1,
          testTimeout: 180_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
