import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { readYaml } from '../support/plain-yaml.ts';

/*
 * An alert over a metric that does not exist never fires, and a panel over one stays empty: nobody notices either. So
 * every metric and label that rules and dashboard name has to be in a scrape.
 */

const deploy = new URL('../../deploy/', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, deploy), 'utf8');

const ruleSchema = z.strictObject({
  alert: z.string().regex(/^Engramd[A-Z][A-Za-z]+$/),
  expr: z.string(),
  for: z.string().optional(),
  labels: z.strictObject({ severity: z.enum(['critical', 'warning', 'info']) }),
  annotations: z.strictObject({
    summary: z.string().min(10),
    description: z.string().min(20),
    runbook_url: z.string(),
  }),
});
const rulesSchema = z.strictObject({
  groups: z.array(z.strictObject({ name: z.string(), rules: z.array(ruleSchema) })).min(1),
});
const rules = rulesSchema.parse(readYaml(read('prometheus/alerts.yml'))).groups.flatMap(({ rules }) => rules);

const dashboardSchema = z.object({
  panels: z.array(
    z.object({
      title: z.string(),
      type: z.string(),
      targets: z.array(z.object({ expr: z.string(), legendFormat: z.string() })).optional(),
    }),
  ),
  templating: z.object({ list: z.array(z.object({ name: z.string(), query: z.unknown() })) }),
  annotations: z.object({ list: z.array(z.object({ expr: z.string() })) }),
});
const dashboard = dashboardSchema.parse(JSON.parse(read('grafana/dashboards/engramd.json')));
const panelQueries = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr, legendFormat }) => ({ title, expr, legendFormat })),
);

/** Labels that Prometheus adds to what it scrapes, and those of its own series. */
const scrapeLabels = ['job', 'instance', 'le'];

/** Names as a scrape has them, each with its labels. */
let scraped: Map<string, readonly string[]>;
beforeAll(async () => {
  const { registry } = createMetrics();
  scraped = new Map([['up', []]]);
  for (const { name, type } of await registry.getMetricsAsJSON()) {
    const { labelNames } = registry.getSingleMetric(name) as unknown as { readonly labelNames: readonly string[] };
    const suffixes = String(type) === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
    for (const suffix of suffixes) scraped.set(`${name}${suffix}`, labelNames);
  }
});

const metricsOf = (expr: string) => [...new Set(expr.match(/\bengramd_\w+|\bup\b/g))];

/** Labels in selectors, in `by (…)` and in `on (…)`. */
function labelsOf(expr: string): string[] {
  const matched = [...expr.matchAll(/\{([^}]*)\}/g)].flatMap(([, inside = '']) =>
    [...inside.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label),
  );
  const grouped = [...expr.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, inside = '']) => inside.split(/,\s*/));
  return [...new Set([...matched, ...grouped])];
}

/** What a query names and no scrape has. */
function unknownIn(expr: string, template = ''): string[] {
  const metrics = metricsOf(expr);
  const known = new Set([...scrapeLabels, ...metrics.flatMap((name) => scraped.get(name) ?? [])]);
  const shown = [...template.matchAll(/\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}/g)].map(([, label = '']) => label);
  const labels = [...labelsOf(expr), ...shown].filter((label) => !known.has(label));
  return [...metrics.filter((name) => !scraped.has(name)), ...labels];
}

describe('what rules and dashboard name is in a scrape', () => {
  it.each(rules.map((rule) => [rule.alert, rule] as const))('%s', (_, { expr, annotations }) => {
    expect(metricsOf(expr)).not.toEqual([]);
    expect(unknownIn(expr, annotations.summary)).toEqual([]);
  });

  it.each(panelQueries.map((query) => [query.title, query] as const))('panel "%s"', (_, { expr, legendFormat }) => {
    expect(metricsOf(expr)).not.toEqual([]);
    expect(unknownIn(expr, legendFormat)).toEqual([]);
  });

  it('variables and annotations of the dashboard', () => {
    const [, job] = dashboard.templating.list;
    expect(unknownIn(JSON.stringify(job?.query))).toEqual([]);
    for (const { expr } of dashboard.annotations.list) expect(unknownIn(expr)).toEqual([]);
  });

  it('finds a metric, a label, a suffix and a legend that do not exist', () => {
    expect(unknownIn('engramd_no_such_total > 0')).toEqual(['engramd_no_such_total']);
    expect(unknownIn('engramd_parked{mood="bad"}')).toEqual(['mood']);
    expect(unknownIn('max by (mood) (engramd_parked)')).toEqual(['mood']);
    expect(unknownIn('engramd_recall_seconds > 0')).toEqual(['engramd_recall_seconds']);
    expect(unknownIn('rate(engramd_recall_seconds_bucket[5m])', '{{mood}}')).toEqual(['mood']);
  });
});

describe('the alerts', () => {
  it('lead to a heading of the README', () => {
    const headings = new Set(readFileSync(new URL('../README.md', deploy), 'utf8').match(/(?<=^### )Engramd\w+$/gm));
    expect([...headings].sort()).toEqual(rules.map(({ alert }) => alert).sort());
  });

  it('lead to a heading of their own', () => {
    for (const { alert, annotations } of rules)
      expect(annotations.runbook_url, alert).toBe(`README.md#${alert.toLowerCase()}`);
  });

  it('are each fired by a test', () => {
    const tests = read('prometheus/alerts.test.yml');
    for (const { alert } of rules) expect(tests, alert).toMatch(new RegExp(`alertname(?:: |=")${alert}\\b`));
  });

  it('watch what the daemon achieves first', () => {
    expect(rules.slice(0, 2).map(({ alert }) => alert)).toEqual(['EngramdNoCleanCycle', 'EngramdMemoriesWaiting']);
  });
});
