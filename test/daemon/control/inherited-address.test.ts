import { once } from 'node:events';
import { symlinkSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../../src/config/load-config.ts';
import type { App } from '../../../src/daemon/compose.ts';
import { isSameSocket } from '../../../src/daemon/control/unix-path.ts';
import { listen } from '../../../src/daemon/listen.ts';
import { createScratchFolder, removeScratchFolder } from '../../support/scratch-folder.ts';

const folder = createScratchFolder();
afterAll(() => removeScratchFolder(folder));

describe('an inherited address', () => {
  const settings = { ENGRAMD_DATA_DIR: folder, ENGRAMD_HTTP_PORT: '7766' };

  /** Has a daemon's HTTP listen on what it was handed, with these settings. */
  async function listenOn(hosts: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const app = { server: createHttpServer() } as unknown as App;
    onTestFinished(() => void app.server.close());
    const warnings: string[] = [];
    const moved: string[] = [];
    const inherited = hosts.map((address, at) => ({
      address: { address, port: 8000 + at, family: 'IPv4' },
      accept: () => void moved.push(address),
      moveTo: async () => void moved.push(address),
      close: () => undefined,
    }));
    const { config } = loadConfig({ env: { ...settings, ...env } });
    const log = { warn: (text: string) => void warnings.push(text) } as never;
    return { listening: listen(app, config, { inherited, log }), warnings, moved };
  }

  it.each([[['0.0.0.0']], [['::']], [['192.168.1.7']], [['127.0.0.1', '0.0.0.0']]])(
    '%j is not opened to other machines without a token, whatever the settings say of their own',
    async (hosts) => {
      const { listening, moved } = await listenOn(hosts);
      const refused = { exitCode: 2, message: expect.stringMatching(/:800\d.*ENGRAMD_API_TOKEN.*ENGRAMD_HTTP_HOST/) };
      await expect(listening).rejects.toMatchObject(refused);
      expect(moved).toEqual([]);
    },
  );

  it('that others can reach is served with a token', async () => {
    const { listening, moved } = await listenOn(['0.0.0.0'], { ENGRAMD_API_TOKEN: 'a-token' });
    expect(await listening).toBe('http://127.0.0.1:8000');
    expect(moved).toEqual(['0.0.0.0']);
  });

  it('is the one that daemon.json tells; a warning says where the settings differ', async () => {
    const { listening, warnings } = await listenOn(['127.0.0.1', '::1']);
    expect(await listening).toBe('http://127.0.0.1:8000');
    expect(warnings).toEqual([expect.stringMatching(/127\.0\.0\.1:8000 and \[::1\]:8001.*ENGRAMD_HTTP_PORT.*:7766/)]);
  });

  it.each([
    [{ ENGRAMD_HTTP_HOST: '[::1]', ENGRAMD_HTTP_PORT: '8001' }, 'http://[::1]:8001'],
    [{ ENGRAMD_HTTP_HOST: 'localhost', ENGRAMD_HTTP_PORT: '8000' }, 'http://127.0.0.1:8000'],
    [{ ENGRAMD_HTTP_PORT: '0' }, 'http://127.0.0.1:8000'],
  ])('among several is the one of the settings: %o', async (env, url) => {
    const { listening, warnings } = await listenOn(['127.0.0.1', '::1'], env);
    expect(await listening).toBe(url);
    expect(warnings).toEqual([]);
  });
});

it('a path that the settings reach by a link is the same socket', async () => {
  const path = join(folder, 'linked.sock');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const link = join(folder, 'var-run.sock');
  symlinkSync(path, link);
  expect(isSameSocket(path, link)).toBe(true);
  expect(isSameSocket(path, join(folder, 'other.sock'))).toBe(false);
  server.close();
});
