import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test, vi } from 'vitest';
import type { Bank, RecallResult, WriteResult } from '../../src/cli/api-types.ts';

/*
 * The image as somebody would run it: built from this checkout by the classic builder, with its own volume, the embedded
 * database and no root. Stopped, killed and started as an engine does it.
 */

const checkout = new URL('../..', import.meta.url).pathname;
const packageVersion = (JSON.parse(readFileSync(`${checkout}/package.json`, 'utf8')) as { version: string }).version;
const metricsToken = 'only-for-scrapes';
/** What compose.yaml gives it. */
const graceSeconds = 40;

const start = await buildAndStart();
if (start.kind === 'unavailable') console.warn(`skipped: the image takes a container engine, and ${start.reason}`);
const started = start.kind === 'started' ? start : undefined;
afterAll(() => started?.container.remove({ force: true, v: true }));

async function buildAndStart() {
  // Loaded only here: it looks for an engine as it loads.
  const { GenericContainer, Wait, getContainerRuntimeClient } = await import('testcontainers');
  try {
    const { container: containers } = await getContainerRuntimeClient();
    const image = await GenericContainer.fromDockerfile(checkout).build('engramd-test:image', { deleteOnExit: false });
    const running = await image
      .withEnvironment({ ENGRAMD_METRICS_TOKEN: metricsToken })
      .withExposedPorts(7766)
      // The image's own, more often: a test need not wait for half a minute.
      .withHealthCheck({ test: ['CMD', 'engramd-healthcheck'], interval: 1000, timeout: 5000, retries: 60 })
      .withWaitStrategy(Wait.forHealthCheck())
      .start();
    return { kind: 'started', containers, running, container: containers.getById(running.getId()) } as const;
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    if (!/container runtime/i.test(message)) throw thrown;
    return { kind: 'unavailable', reason: 'no container engine answers' } as const;
  }
}

function given() {
  if (!started) throw new Error('no container');
  return started;
}

async function run(...command: string[]) {
  const { exitCode, output } = await given().containers.exec(given().container, command);
  return { exitCode, output: output.trim() };
}

/** The engine gives another port at each start. */
async function url(path: string): Promise<URL> {
  const { NetworkSettings } = await given().container.inspect();
  const [binding] = NetworkSettings.Ports['7766/tcp'] ?? [];
  return new URL(path, `http://${given().running.getHost()}:${binding?.HostPort}`);
}

async function call<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> {
  const { output: token } = await run('cat', '/var/lib/engramd/api-token');
  const response = await fetch(await url(path), {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
  return answer as T;
}

async function untilHealthy(): Promise<void> {
  await vi.waitFor(async () => expect((await given().container.inspect()).State.Health?.Status).toBe('healthy'), {
    timeout: 60_000,
    interval: 200,
  });
}

/** Memories of a bank, whatever their state. */
async function memoriesIn(bank: string): Promise<number> {
  const { memories } = await call<Bank>('GET', `/v1/banks/${bank}`);
  return Object.values(memories).reduce((sum, count) => sum + count, 0);
}

const manyMemories = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => ({ text: `Order ${from + index} left the studio in a blue envelope.` }));

describe.skipIf(!started)('the image', () => {
  test('is healthy, as a user without rights, below an init that reaps', async () => {
    expect((await run('id', '-u')).output).toBe('1000');
    expect((await run('cat', '/proc/1/comm')).output).toBe('tini');
    const { Config } = await given().container.inspect();
    expect(Config).toMatchObject({ User: '1000:1000', StopSignal: 'SIGTERM' });
    expect(Config.Volumes).toEqual({ '/var/lib/engramd': {} });
    expect(Config.Labels['org.opencontainers.image.version']).toBe(packageVersion);
    // The one of the image is the one that this container runs more often.
    const image = await given().containers.dockerode.getImage(Config.Image).inspect();
    expect((image.Config as { Healthcheck?: { Test: string[] } }).Healthcheck?.Test).toEqual([
      'CMD',
      'engramd-healthcheck',
    ]);
  });

  test('leaves out what only developing takes', async () => {
    const modules = '/opt/engramd/node_modules';
    const absent = ['typescript', 'vitest', 'node', '@biomejs', 'testcontainers'].map((name) => `${modules}/${name}`);
    expect((await run('ls', '-d', ...absent, '/opt/engramd/src', '/opt/engramd/test')).output).not.toMatch(/^\//m);
    expect((await run('ls', `${modules}/fastify/package.json`)).exitCode).toBe(0);
  });

  test('has made a token of its own, which /v1 asks for and its commands know', async () => {
    expect((await run('stat', '-c', '%a', '/var/lib/engramd/api-token')).output).toBe('600');
    expect((await run('cat', '/var/lib/engramd/api-token')).output).toMatch(/^[0-9a-f]{64}$/);
    expect((await fetch(await url('/v1/status'))).status).toBe(401);
    expect((await run('engramd', 'status', '--json')).exitCode).toBe(0);
  });

  test('is scraped with a token that opens nothing else', async () => {
    const headers = { authorization: `Bearer ${metricsToken}` };
    const scrape = await fetch(await url('/metrics'), { headers });
    expect(await scrape.text()).toContain(`engramd_build_info{version="${packageVersion}"} 1`);
    expect((await fetch(await url('/metrics'))).status).toBe(401);
    expect((await fetch(await url('/v1/status'), { headers })).status).toBe(401);
  });

  test('remembers and consolidates', async () => {
    await call<WriteResult>('POST', '/v1/banks/studio/memories', [
      { text: 'The standup is at 9:30.', mentioned_at: '2026-03-02T08:00:00Z' },
      { text: 'THE STANDUP IS AT 9:30!', mentioned_at: '2026-03-03T08:00:00Z' },
      { text: 'The standup is at 10:00.', mentioned_at: '2026-03-09T08:00:00Z' },
    ]);
    await call('POST', '/v1/banks/studio/consolidations', {});
    await vi.waitFor(
      async () =>
        expect(await call<Bank>('GET', '/v1/banks/studio')).toMatchObject({ due: 0, memories: { consolidated: 3 } }),
      { timeout: 60_000, interval: 200 },
    );
    expect(await call<Bank>('GET', '/v1/banks/studio')).toMatchObject({ observations: { live: 1, superseded: 1 } });
  });

  test('stops within its grace period in the middle of work, and nothing is lost', async () => {
    await call('POST', '/v1/banks/orders/memories', manyMemories(0, 150));
    await call('POST', '/v1/banks/orders/consolidations', {});
    await given().container.stop({ t: graceSeconds });
    const { State } = await given().container.inspect();
    // 137 would be the kill that ends the grace period.
    expect(State).toMatchObject({ ExitCode: 0, OOMKilled: false });

    await given().container.start();
    await untilHealthy();
    expect(await memoriesIn('orders')).toBe(150);
    expect(await memoriesIn('studio')).toBe(3);
  });

  test('survives docker kill in the middle of work, and a restart', async () => {
    await call('POST', '/v1/banks/orders/memories', manyMemories(150, 150));
    await call('POST', '/v1/banks/orders/consolidations', {});
    await given().container.kill();
    await vi.waitFor(async () => expect((await given().container.inspect()).State.Running).toBe(false), 30_000);
    expect((await given().container.inspect()).State.ExitCode).toBe(137);

    await given().container.start();
    await untilHealthy();
    expect(await memoriesIn('orders')).toBe(300);
    const asked = { query: 'When is the standup?', limit: 3 };
    const { items } = await call<RecallResult>('POST', '/v1/banks/studio/recall', asked);
    expect(items[0]?.text).toBe('The standup is at 10:00.');
    // The work goes on by itself, and comes to its end.
    await vi.waitFor(async () => expect(await call<Bank>('GET', '/v1/banks/orders')).toMatchObject({ due: 0 }), {
      timeout: 120_000,
      interval: 500,
    });
    expect(await memoriesIn('orders')).toBe(300);
  });

  test('hibernates though it is probed each second and scraped; parks where ending itself would end the container', async () => {
    const { GenericContainer, Wait } = await import('testcontainers');
    const sleeper = await new GenericContainer('engramd-test:image')
      .withEnvironment({
        ENGRAMD_DROWSY_AFTER: '1s',
        ENGRAMD_SLEEP_AFTER: '2s',
        ENGRAMD_HIBERNATE_AFTER: '3s',
        ENGRAMD_HIBERNATE: 'exit',
      })
      .withExposedPorts(7766)
      .withHealthCheck({ test: ['CMD', 'engramd-healthcheck'], interval: 1000, timeout: 5000, retries: 60 })
      .withWaitStrategy(Wait.forHealthCheck())
      .start();
    try {
      const metrics = new URL('/metrics', `http://${sleeper.getHost()}:${sleeper.getMappedPort(7766)}`);
      await vi.waitFor(
        async () => {
          const scrape = await (await fetch(metrics)).text();
          expect(scrape).toContain('engramd_parked 1');
          expect(scrape).toContain('engramd_lifecycle_state{state="hibernation"} 1');
        },
        { timeout: 60_000, interval: 200 },
      );
      expect((await given().containers.getById(sleeper.getId()).inspect()).State).toMatchObject({
        Running: true,
        Health: { Status: 'healthy' },
      });
    } finally {
      await sleeper.stop({ timeout: graceSeconds * 1000, removeVolumes: true });
    }
  });

  test('says which volume it cannot write to, and that this is configuration', async () => {
    const { dockerode } = given().containers;
    const stranger = await dockerode.createContainer({ Image: 'engramd-test:image', User: '4321:4321' });
    try {
      await stranger.start();
      expect(await stranger.wait()).toMatchObject({ StatusCode: 2 });
      const logs = String(await stranger.logs({ stdout: true, stderr: true }));
      expect(logs).toContain('engramd: /var/lib/engramd cannot be written by uid 4321');
    } finally {
      await stranger.remove({ force: true, v: true });
    }
  });
});
