import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { launchdPlist } from '../../src/cli/service/launchd-plist.ts';
import { standardLaunchd, standardSystemd } from '../../src/cli/service/service-options.ts';
import { systemdUnits } from '../../src/cli/service/systemd-units.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { metaOf, settingKeys } from '../../src/config/schema.ts';
import { stopDeadlineMs } from '../../src/daemon/stop-bounds.ts';
import { readYaml } from '../support/plain-yaml.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');

const mounts = z.array(z.string().regex(/^(?:\.\/[\w/-]+|[a-z]+):\/[\w/-]+(?::ro)?$/));
const serviceSchema = z.strictObject({
  build: z.strictObject({ context: z.literal('..') }).optional(),
  image: z.string().regex(/^[\w./-]+:[\w.-]+$/, 'a version, so that a pull does not change it'),
  restart: z.literal('unless-stopped'),
  stop_grace_period: z
    .string()
    .regex(/^\d+s$/)
    .optional(),
  read_only: z.boolean().optional(),
  tmpfs: z.array(z.string()).optional(),
  cap_drop: z.array(z.string()).optional(),
  security_opt: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string()).optional(),
  secrets: z.array(z.string()).optional(),
  volumes: mounts,
  ports: z.array(z.string().startsWith('127.0.0.1:')).optional(),
  depends_on: z
    .union([z.array(z.string()), z.record(z.string(), z.strictObject({ condition: z.literal('service_healthy') }))])
    .optional(),
  healthcheck: z
    .strictObject({
      test: z.array(z.string()),
      interval: z.string(),
      timeout: z.string(),
      retries: z.number(),
      start_period: z.string(),
    })
    .optional(),
});
const composeSchema = z.strictObject({
  services: z.strictObject({
    engramd: serviceSchema,
    postgres: serviceSchema,
    prometheus: serviceSchema,
    grafana: serviceSchema,
  }),
  secrets: z.record(z.string(), z.strictObject({ file: z.string().startsWith('./secrets/') })),
  volumes: z.record(z.string(), z.strictObject({})),
});
const compose = composeSchema.parse(readYaml(read('deploy/compose.yaml')));
const services = Object.entries(compose.services);

describe('compose.yaml', () => {
  it('lets engramd stop in its own time, and waits for a database that answers', () => {
    const { engramd, postgres } = compose.services;
    expect(Number.parseInt(engramd.stop_grace_period ?? '', 10) * 1000).toBeGreaterThan(stopDeadlineMs + 5000);
    expect(engramd.depends_on).toEqual({ postgres: { condition: 'service_healthy' } });
    expect(postgres.healthcheck?.test).toContain('pg_isready');
    expect(postgres.image).toBe('pgvector/pgvector:pg17');
  });

  it('uses only volumes and secrets that it names, and has no secret in itself', () => {
    const [volumes, secrets] = [Object.keys(compose.volumes), Object.keys(compose.secrets)];
    for (const [name, service] of services) {
      for (const volume of service.volumes) {
        const [source = ''] = volume.split(':');
        if (!source.startsWith('./')) expect(volumes, name).toContain(source);
        else expect(readdirSync(new URL(`deploy/${source}`, root)), volume).not.toEqual([]);
      }
      for (const secret of service.secrets ?? []) expect(secrets, name).toContain(secret);
      for (const [variable, value] of Object.entries(service.environment ?? {})) {
        if (!/(?:TOKEN|PASSWORD|KEY|URL)/.test(variable)) continue;
        const mounted = /^\/run\/secrets\/(\w+)$/.exec(value)?.[1];
        expect(variable, name).toMatch(/_FILE$/);
        expect(service.secrets, variable).toContain(mounted);
      }
    }
  });

  it('names a secret for each file that make-secrets.sh makes, and the other way round', () => {
    const script = read('deploy/make-secrets.sh');
    for (const { file } of Object.values(compose.secrets)) expect(script).toContain(file.slice('./secrets/'.length));
  });

  it('lets Prometheus in: by the name it asks for, with the token it sends', () => {
    const scrape = z
      .object({
        rule_files: z.tuple([z.literal('alerts.yml')]),
        scrape_configs: z.tuple([
          z.object({
            job_name: z.literal('engramd'),
            authorization: z.object({ credentials_file: z.string() }),
            static_configs: z.tuple([z.object({ targets: z.tuple([z.string()]) })]),
          }),
        ]),
      })
      .parse(readYaml(read('deploy/prometheus/prometheus.yml'))).scrape_configs[0];
    const [host, port] = scrape.static_configs[0].targets[0].split(':');
    const { engramd, prometheus } = compose.services;
    expect(engramd.environment?.ENGRAMD_HTTP_ALLOWED_HOSTS).toBe(host);
    expect(engramd.ports).toEqual([`127.0.0.1:${port}:${port}`]);
    expect(scrape.authorization.credentials_file).toBe(engramd.environment?.ENGRAMD_METRICS_TOKEN_FILE);
    expect(prometheus.secrets).toContain('metrics_token');
  });
});

/** Variables of engramd's own in a text; `*_FILE` stands for the setting it carries. */
function settingsIn(text: string): string[] {
  const named =
    text.match(/\b(?:ENGRAMD_[A-Z_]+|OPENAI_[A-Z_]+|DATABASE(?:_DIRECT)?_URL(?:_FILE)?|LOG_LEVEL)\b/g) ?? [];
  return [...new Set(named)];
}

const known = new Set(
  settingKeys.flatMap((key) => {
    const { variable, secret } = metaOf(key);
    return secret ? [variable, `${variable}_FILE`] : [variable];
  }),
).add('ENGRAMD_CONFIG');

describe('every setting named is one of this version', () => {
  const units = systemdUnits(standardSystemd).map(({ name, content }) => [name, content] as const);
  const plist = launchdPlist({ ...standardLaunchd, configFile: '/etc/engramd.json' });
  it.each([
    ...[
      'Dockerfile',
      'deploy/compose.yaml',
      'deploy/docker/entrypoint.sh',
      'deploy/docker/healthcheck.sh',
      'README.md',
    ].map((path) => [path, read(path)] as const),
    ...units.filter(([name]) => !name.endsWith('.timer')).slice(0, 1),
    [plist.name, plist.content] as const,
  ])('%s', (_, text) => {
    const settings = settingsIn(text);
    expect(settings).not.toEqual([]);
    expect(settings.filter((name) => !known.has(name))).toEqual([]);
  });

  it('and what the image sets loads', () => {
    const pairs = [...read('Dockerfile').matchAll(/(ENGRAMD_[A-Z_]+)=(\S+)/g)].map(([, name = '', value = '']) => [
      name,
      value,
    ]);
    const { config, warnings } = loadConfig({ env: { ...Object.fromEntries(pairs), ENGRAMD_API_TOKEN: 'x' } });
    expect(warnings).toEqual([]);
    expect(config).toMatchObject({ dataDir: '/var/lib/engramd', httpHost: '0.0.0.0', httpPort: 7766 });
  });
});

describe('the reader of YAML', () => {
  it('reads what deploy/ is written in', () => {
    const text = 'a:\n  - b: 1\n    c: >-\n      x\n      y\n  - "q # r"\nd: [x, "y, z"]\n# no\ne: {}';
    expect(readYaml(text)).toEqual({ a: [{ b: 1, c: 'x y' }, 'q # r'], d: ['x', 'y, z'], e: {} });
  });

  it.each(['a: b: c', 'a: &x 1', 'a: {b: 1}', 'a: 1\na: 2', 'a:\n\tb: 1', 'a: 1\n   b: 2', 'a: x # y', '- a\nb: 1'])(
    'refuses %j',
    (text) => {
      expect(() => readYaml(text)).toThrow(/line \d+/);
    },
  );
});
