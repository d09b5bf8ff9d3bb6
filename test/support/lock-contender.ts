/**
 * A process that takes the instance lock again and again and writes down when it has it. Started with fork() by the test
 * of the lock; arguments: data directory, journal, rounds, round after which it kills itself (0: never).
 */
import { randomUUID } from 'node:crypto';
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { acquireInstanceLock } from '../../src/daemon/instance-lock.ts';
import { type Clock, systemClock } from '../../src/telemetry/clock.ts';

const [dataDir = '', journal = '', rounds = '1', deadlyRound = '0'] = process.argv.slice(2);

// Polls as fast as it can, to meet the others.
const impatientClock: Clock = { ...systemClock, sleep: () => setTimeout(1) };

async function contend(): Promise<void> {
  for (let round = 1; round <= Number(rounds); round += 1) {
    const lock = await acquireInstanceLock({ dataDir, role: 'cli', waitMs: 300_000, clock: impatientClock });
    appendFileSync(journal, `enter ${process.pid}\n`);
    for (let turn = 0; turn < 3; turn += 1) await setImmediate();
    if (round === Number(deadlyRound)) {
      appendFileSync(journal, `leave ${process.pid} killed\n`);
      process.kill(process.pid, 'SIGKILL');
    }
    appendFileSync(journal, `leave ${process.pid}\n`);
    if (round % 4 !== 0) leaveAsDead();
    await lock.release();
  }
}

/** As if the owner had been killed, without the cost of a new process: most of the races are about this. */
function leaveAsDead(): void {
  const owner = join(dataDir, 'lock', 'owner');
  const record: unknown = JSON.parse(readFileSync(owner, 'utf8'));
  const dead = join(dataDir, `dead-${process.pid}`);
  writeFileSync(dead, JSON.stringify(Object.assign({}, record, { token: randomUUID(), scope: 'another boot' })));
  renameSync(dead, owner);
}

process.once('message', () => {
  contend().then(
    () => process.disconnect(),
    (thrown: unknown) => {
      appendFileSync(journal, `failed ${process.pid} ${String(thrown)}\n`);
      process.exit(1);
    },
  );
});
process.send?.('ready');
