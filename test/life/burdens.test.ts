import { afterAll, describe, it, vi } from 'vitest';
import { callControl } from '../../src/daemon/control/control-client.ts';
import { readDaemonFile } from '../../src/daemon/daemon-file.ts';
import { writeServiceMarker } from '../../src/daemon/service-marker.ts';
import { sleepStepNames } from '../../src/sleep/step.ts';
import { apiError } from '../support/scripted-model/reply.ts';
import { createScriptedModel, type ScriptedModel } from '../support/scripted-model.ts';
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts';
import { startHanded } from './handed-daemon.ts';
import { endAll, type LivingDaemon, scratch, shortLife, startLiving } from './living-daemon.ts';

/* Real daemons with much to do, with a companion, or with a supervisor; side by side, each on a database of its own. */
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000, maxConcurrency: 8 });

const databases: TestDatabase[] = [];
const models: ScriptedModel[] = [];
afterAll(async () => {
  await endAll();
  await Promise.all(models.map((model) => model.close()));
  await Promise.all(databases.map((database) => database.drop()));
});

async function openDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase();
  databases.push(database);
  return database;
}

/** An endpoint of the test's own, for chat and for vectors. */
async function openModel(options: Parameters<typeof createScriptedModel>[0]) {
  const model = await createScriptedModel(options);
  models.push(model);
  const settings = {
    OPENAI_BASE_URL: model.baseUrl,
    OPENAI_API_KEY: 'sk-test-1234567890',
    ENGRAMD_LLM_MODEL: 'scripted',
    ENGRAMD_DECIDER: 'llm',
    ENGRAMD_EMBEDDER: 'openai',
  };
  return { model, settings };
}

/** Written a minute ago, so that nobody waits for more. */
async function addMemories({ db }: TestDatabase, count: number): Promise<void> {
  await db.query("insert into engram.banks (id) values ('b')");
  await db.query(
    `insert into engram.memories (bank_id, id, text, created_at, next_attempt_at)
     select 'b', gen_random_uuid(), 'Shelf ' || n || ' holds ' || (n * 7) || ' books.', now() - interval '1 minute',
       now() - interval '1 minute'
     from generate_series(1, $1::int) as n`,
    [count],
  );
}

async function states({ db }: TestDatabase): Promise<Record<string, number>> {
  const { rows } = await db.query<{ state: string; n: number }>(
    'select state, count(*)::int as n from engram.memories group by 1',
  );
  return Object.fromEntries(rows.map(({ state, n }) => [state, n]));
}

/** Of a counter in a scrape, over all labels that match. */
async function counted(daemon: LivingDaemon, series: string): Promise<number> {
  const text = await (await fetch(`${daemon.file.url}/metrics`)).text();
  const line = text.split('\n').find((each) => each.startsWith(`${series} `));
  return Number(line?.split(' ')[1] ?? 0);
}

describe.concurrent('a daemon', () => {
  it('with 10,000 memories waiting goes to sleep when told, mid-drain too wakes when told, and loses none', async ({
    expect,
  }) => {
    const database = await openDatabase();
    await addMemories(database, 10_000);
    const { model, settings } = await openModel({ chatLatencyMs: 300, keepRequests: 10 });
    const daemon = await startLiving({ DATABASE_URL: database.connectionString, ...settings });
    await expect.poll(() => model.count.chat, { timeout: 30_000 }).toBeGreaterThan(0);
    expect((await daemon.command('sleep')).code).toBe(0);
    const asleep = await daemon.until('in its drain step', ({ state, cycle }) => {
      return state === 'sleep' && (cycle?.steps.some((s) => s.name === 'drain' && s.status === 'running') ?? false);
    });
    expect(asleep).toMatchObject({ reason: 'forced', sleep_forced: false });
    // The backlog is worked off while it sleeps, and by that step alone.
    const asked = model.count.chat;
    await expect.poll(() => model.count.chat, { timeout: 30_000 }).toBeGreaterThan(asked);
    expect((await daemon.command('wake')).code).toBe(0);
    expect(await daemon.life()).toMatchObject({ state: 'wake', reason: 'wake_command' });
    await daemon.until('without a cycle', ({ cycle }) => cycle?.running === false);
    // The interrupted cycle stays open, and its step is to be done: no failure.
    const { rows: steps } = await database.db.query(
      'select s.status from engram.sleep_steps s join engram.sleep_cycles c on c.id = s.cycle_id where c.finished_at is null order by s.position',
    );
    expect(steps).toEqual(sleepStepNames.map(() => ({ status: 'pending' })));
    // A wake right after a sleep wins: what was forced is called off.
    await Promise.all([daemon.control({ type: 'force_sleep' }), daemon.control({ type: 'wake' })]);
    const called = await daemon.control({ type: 'wake' });
    expect(called.state).toBe('wake');
    expect(await daemon.life(true)).toMatchObject({ state: 'wake', sleep_forced: false });
    expect(await daemon.stop()).toMatchObject({ code: 0 });
    const { pending = 0, consolidated = 0, ...others } = await states(database);
    expect([pending + consolidated, others]).toEqual([10_000, {}]);
    const { rows: burned } = await database.db.query(
      `select (select count(*)::int from engram.memories where attempts > 0) as attempts,
         (select count(*)::int from pgboss.job where retry_count > 0 or state = 'failed') as retries`,
    );
    expect(burned).toEqual([{ attempts: 0, retries: 0 }]);
  });

  it('with 1,000 due rows, none of them scored, and a wrong key still reaches hibernation, and keeps every row', async ({
    expect,
  }) => {
    const database = await openDatabase();
    await addMemories(database, 1000);
    const refused = () => apiError(401, { code: 'invalid_api_key', message: 'Incorrect API key provided' });
    const { settings } = await openModel({ onChat: refused, onEmbed: refused });
    const daemon = await startLiving({ DATABASE_URL: database.connectionString, ...settings, ...shortLife });
    expect(await daemon.until('parked', ({ parked }) => parked, 60_000)).toMatchObject({ state: 'hibernation' });
    expect(await states(database)).toEqual({ pending: 1000 });
    const { rows: scores } = await database.db.query(
      `select count(*) filter (where scored_version is null)::int as unscored, sum(score_attempts)::int as attempts,
         count(score_parked)::int as parked from engram.memories`,
    );
    expect(scores).toEqual([{ unscored: 1000, attempts: 0, parked: 0 }]);
    expect((await daemon.stop()).code).toBe(0);
  });

  it('whose leader is killed leads in its place, and no tick runs twice', async ({ expect }) => {
    const database = await openDatabase();
    const env = { DATABASE_URL: database.connectionString };
    const first = await startLiving(env);
    const second = await startLiving(env);
    const isLed = 'engramd_ticks_total{outcome="led"}';
    expect(await first.life(true)).toMatchObject({ leader: { is_self: true } });
    expect(await second.life(true)).toMatchObject({ leader: { is_self: false } });
    const ledByFirst = await counted(first, isLed);
    expect(ledByFirst).toBeGreaterThan(0);
    first.child.kill('SIGKILL');
    await first.ended;
    await second.until('leading', ({ leader }) => leader?.is_self === true);
    await expect.poll(() => counted(second, isLed), { timeout: 30_000 }).toBeGreaterThan(0);
    const { rows } = await database.db.query<{ tick: number; fence: number }>(
      'select l.tick, e.fence from engram.lifecycle l, engram.leader e',
    );
    const ledBySecond = await counted(second, isLed);
    expect(rows[0]?.fence).toBe(2);
    // Each of the row's ticks was claimed by one of both; one more may have run before or after it was counted.
    expect(Math.abs((rows[0]?.tick ?? 0) - ledByFirst - ledBySecond)).toBeLessThanOrEqual(1);
    expect((await second.stop()).code).toBe(0);
  });

  it('of a service may end itself to hibernate; without its sockets it parks and says why', async ({
    expect,
    onTestFinished,
  }) => {
    const database = await openDatabase();
    const env = { DATABASE_URL: database.connectionString, ENGRAMD_HIBERNATE: 'exit', ...shortLife };
    const dataDir = scratch();
    writeServiceMarker(dataDir, {
      kind: 'systemd',
      scope: 'user',
      unit: 'engramd.service',
      hasTimer: true,
      socket: `${dataDir}/handed.sock`,
    });
    const path = `${dataDir}/handed.sock`;
    const served = await startHanded(dataDir, path, env);
    onTestFinished(() => void served.child.kill('SIGKILL'));
    // It is found, and watched, where the sockets are, and not where its settings say.
    const url = `http://127.0.0.1:${served.port}`;
    await expect.poll(() => readDaemonFile(dataDir)?.url, { timeout: 20_000 }).toBe(url);
    expect(await callControl(path, { type: 'status' }, { timeoutMs: 10_000 })).toMatchObject({ ok: true });
    const scrape = async () => (await fetch(`${url}/metrics`)).text();
    await expect.poll(scrape).toMatch(/watchdog_probes\{outcome="good"\} [1-9]/);
    expect(await served.ended, served.stderr()).toBe(0);
    expect(served.stderr()).not.toContain('nobody can connect to the control socket');
    expect(served.stderr()).toMatch(/the control socket [^"]*handed\.sock.*ENGRAMD_SOCKET/);
    expect(served.stderr()).toMatch(new RegExp(`127\\.0\\.0\\.1:${served.port}, which holds.*ENGRAMD_HTTP_PORT`));
    const reasons = await database.db.query<{ stop_reason: string }>('select stop_reason from engram.instances');
    expect(reasons.rows).toEqual([{ stop_reason: expect.stringMatching(/^hibernation/) }]);

    // Started again, as by somebody who connects: it serves, and only then is there time to hibernate again.
    // By a shell of a service: its INVOCATION_ID is inherited, its sockets are not.
    const alone = await startLiving({ ...env, INVOCATION_ID: 'of a test' });
    const answer = await fetch(`${alone.file.url}/v1/banks`);
    expect(answer.status).toBe(200);
    expect(alone.output().stderr).toContain('ENGRAMD_HIBERNATE=exit parks instead');
    // Told by the timeline of states: it may be awake only after it has answered, and not for long.
    const lastRise = () =>
      database.db.query(
        `select to_state, reason from engram.lifecycle_events where from_state = 'hibernation' order by id desc limit 1`,
      );
    await expect.poll(async () => (await lastRise()).rows).toEqual([{ to_state: 'wake', reason: 'activity' }]);
    await alone.until('parked', ({ parked }) => parked);
    expect((await alone.stop()).code).toBe(0);
  });
});
