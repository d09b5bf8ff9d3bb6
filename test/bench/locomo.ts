import { createReadStream, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readJsonLines } from '../../src/ingest/json-lines.ts';
import type { MemoryInput } from '../../src/ingest/memory-schema.ts';
import type { RecallItem, RecallRequest } from '../../src/recall/recall.ts';
import { type BankSize, type Baseline, type Bench, openBench } from './locomo-banks.ts';
import {
  answerTokenRecall,
  evidenceRecall,
  meanScore,
  type Question,
  type ReturnedItem,
  type Score,
} from './locomo-score.ts';
import { printTable } from './table.ts';

/** What engramd may lose against raw memories, in points. */
const toleratedLoss = 0.5;
const answerBudgetTokens = 256;

const variants = [
  'raw memories',
  'exact-duplicate fold',
  'cosine-0.95 fold',
  'engramd (default)',
  'engramd (observations only)',
] as const;
type Variant = (typeof variants)[number];

interface Conversation {
  readonly name: string;
  readonly memories: readonly MemoryInput[];
  readonly questions: readonly Question[];
}

interface Measured {
  readonly size: BankSize;
  readonly score: Score;
}

/**
 * `--data DIR`: conversations of LoCoMo as `NAME.memories.jsonl` and `NAME.qa.jsonl`. Each becomes a bank, is
 * consolidated by the rules, and is asked its questions; every variant is searched by the same code.
 */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { data: { type: 'string' } } });
  if (values.data === undefined)
    throw new Error('locomo needs --data DIR, the folder with NAME.memories.jsonl and NAME.qa.jsonl');
  const bench = await openBench();
  const measured = new Map<Variant, Measured[]>(variants.map((variant) => [variant, []]));
  const outcomes: [holds: boolean, what: string][] = [];
  try {
    for (const conversation of await readConversations(values.data)) {
      for (const [variant, result] of await measure(bench, conversation, outcomes)) measured.get(variant)?.push(result);
    }
  } finally {
    await bench.close();
  }
  report(measured);
  for (const [holds, what] of [...outcomes, ...bounds(measured)]) {
    console.log(`${holds ? 'PASS' : 'FAIL'} ${what}`);
    if (!holds) process.exitCode = 1;
  }
}

async function readConversations(folder: string): Promise<Conversation[]> {
  const names = readdirSync(folder).flatMap((file) => /^(.+)\.memories\.jsonl$/.exec(file)?.[1] ?? []);
  if (names.length === 0) throw new Error(`${folder} holds no NAME.memories.jsonl`);
  return Promise.all(
    names.sort().map(async (name) => {
      const memories: MemoryInput[] = [];
      for await (const line of readJsonLines(createReadStream(join(folder, `${name}.memories.jsonl`)))) {
        if ('reason' in line) throw new Error(`${name}.memories.jsonl:${line.line}: ${line.reason}`);
        memories.push(line.memory);
      }
      const held = new Set(memories.map((memory) => memory.source_ref));
      const questions = readFileSync(join(folder, `${name}.qa.jsonl`), 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Question)
        .filter(({ evidence }) => evidence.length > 0 && evidence.every((reference) => held.has(reference)));
      return { name, memories, questions };
    }),
  );
}

async function measure(
  bench: Bench,
  { name, memories, questions }: Conversation,
  outcomes: [boolean, string][],
): Promise<Map<Variant, Measured>> {
  const added = await bench.ingest(name, memories);
  const again = await bench.ingest(name, memories);
  outcomes.push([again === 0, `${name}: ${added} memories; the same file again adds ${again}`]);
  const pending = await bench.consolidate(name);
  outcomes.push([pending === 0, `${name}: ${pending} memories pending after consolidation`]);

  const baselines: Readonly<Partial<Record<Variant, Baseline>>> = {
    'exact-duplicate fold': { name: 'exact', similarity: null },
    'cosine-0.95 fold': { name: 'cosine', similarity: 0.95 },
  };
  const results = new Map<Variant, Measured>();
  for (const variant of variants) {
    const baseline = baselines[variant];
    const bankId = baseline ? await bench.foldedBank(name, memories, baseline) : name;
    const only: RecallRequest['only'] =
      variant === 'raw memories' ? 'memories' : variant === 'engramd (default)' ? undefined : 'observations';
    const score = await ask(bench, { bankId, only }, questions);
    results.set(variant, { size: await bench.size(bankId, only), score });
  }
  return results;
}

async function ask(
  bench: Bench,
  where: { readonly bankId: string; readonly only: RecallRequest['only'] },
  questions: readonly Question[],
): Promise<Score> {
  const scores: Omit<Score, 'questions'>[] = [];
  for (const { question, answer, evidence } of questions) {
    const request = { ...where, query: question };
    const first = (await bench.recall({ ...request, limit: 10, sourcesPerItem: 10_000 })).map(returned);
    const within = await bench.recall({ ...request, limit: 100, maxTokens: answerBudgetTokens, sourcesPerItem: 0 });
    scores.push({
      recallAt5: evidenceRecall(first, evidence, 5),
      recallAt10: evidenceRecall(first, evidence, 10),
      answerTokens: answerTokenRecall(
        within.map((item) => returned(item).text),
        String(answer),
      ),
    });
  }
  return { questions: questions.length, ...meanScore(scores) };
}

function returned(item: RecallItem): ReturnedItem {
  if (item.type === 'memory') return { text: item.memory.text, sourceRefs: [item.memory.sourceRef ?? ''] };
  const { text, sources } = item.observation;
  return { text, sourceRefs: sources.map((source) => source.sourceRef ?? '') };
}

function report(measured: ReadonlyMap<Variant, readonly Measured[]>): void {
  const points = (share: number) => (100 * share).toFixed(1);
  const questions = measured.get('raw memories')?.map(({ score }) => score.questions) ?? [];
  console.log(
    `LoCoMo, ${questions.join(' + ')} questions whose evidence is in the memories; means of the conversations\n`,
  );
  printTable(
    ['', 'items', 'sources', 'tokens', 'recall@5', 'recall@10', `answer tokens in ${answerBudgetTokens}`],
    [...measured].map(([variant, results]) => {
      const mean = meanScore(results.map(({ score }) => score));
      const total = (figure: (size: BankSize) => number) =>
        String(results.reduce((sum, { size }) => sum + figure(size), 0));
      return [
        variant,
        total((size) => size.items),
        total((size) => size.sources),
        total((size) => size.tokens),
        points(mean.recallAt5),
        points(mean.recallAt10),
        points(mean.answerTokens),
      ];
    }),
  );
  console.log(
    '\nitems, sources, tokens: rows of an answer without a limit, memories they are or cite, tokens of their texts\n',
  );
}

function bounds(measured: ReadonlyMap<Variant, readonly Measured[]>): [boolean, string][] {
  const of = (variant: Variant) => meanScore((measured.get(variant) ?? []).map(({ score }) => score));
  const [raw, engramd] = [of('raw memories'), of('engramd (default)')];
  const check = (name: string, ours: number, theirs: number): [boolean, string] => [
    100 * (theirs - ours) <= toleratedLoss,
    `${name}: engramd (default) ${(100 * ours).toFixed(1)}, raw memories ${(100 * theirs).toFixed(1)}, at most ${toleratedLoss} below`,
  ];
  return [
    check('evidence recall@10', engramd.recallAt10, raw.recallAt10),
    check(`answer tokens in ${answerBudgetTokens}`, engramd.answerTokens, raw.answerTokens),
  ];
}
