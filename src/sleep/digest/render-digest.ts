import { localDay } from '../../models/local-day.ts';
import type { NightOfBank, NightOp, NightPin, NightProposal } from '../../store/digest-rows.ts';
import { type BankView, type DigestView, pinsShown, told } from './digest-view.ts';
import { quoted } from './markdown-text.ts';

/** Questions, parked memories, names of further banks that are shown. */
const fewShown = 5;
/** Of each list at least; the more banks there are, the less is shown of each. */
const leastShown = 2;

/** A night in Markdown, short: what changed, what it cost, what is asked. Pure. */
export function renderDigest(view: DigestView): string {
  const { banks, otherBanks, steps } = view;
  const day = localDay(view.toAt);
  const troubles = steps.filter(({ status }) => status === 'failed' || status === 'quarantined');
  const cost = costText(view.cost);
  if (banks.length === 0 && troubles.length === 0) return `Night of ${day}: nothing changed${cost && `; ${cost}`}.\n`;
  const lines = [
    `# Night of ${day}`,
    '',
    `From ${time(view.fromAt)} to ${time(view.toAt)}${cost && `; ${cost}`}.`,
    ...banks.flatMap((bank) => ['', `## ${quoted(bank.bankId)}`, ...bankLines(bank, banks.length)]),
    ...(otherBanks.length === 0 ? [] : ['', otherBanksText(otherBanks)]),
    ...section(
      'The night itself',
      steps.flatMap(({ name, status, note, error }) => {
        if (status === 'failed') return [`- ${name} failed: ${quoted(error ?? 'nobody knows why')}`];
        if (status === 'quarantined') return [`- ${name} is left alone: it failed too often`];
        return note === null ? [] : [`- ${name}: ${quoted(note)}`];
      }),
    ),
  ];
  return `${lines.join('\n')}\n`;
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', `## ${title}`, '', ...lines];
}

function bankLines(bank: BankView, banks: number): string[] {
  const share = (shown: number) => Math.max(leastShown, Math.ceil(shown / banks));
  const parts = told.flatMap(({ op, title, shown }) => {
    const examples = bank.examples.filter((example) => example.op === op).slice(0, share(shown));
    return list(title, bank.ops[op] ?? 0, examples.map(opText));
  });
  return [
    ...parts,
    ...alsoLine(bank),
    ...matterLines(bank, share(pinsShown)),
    ...refusedLine(bank),
    ...list(
      'Given up for now; `engramd jobs retry` tries again',
      bank.parkedNow.length,
      bank.parkedNow
        .slice(0, share(fewShown))
        .map(({ text, reason }) => (reason === null ? quoted(text) : `${quoted(text)}: ${quoted(reason)}`)),
    ),
    ...questions(bank, share(fewShown)),
  ];
}

/** `texts` are the first of `count`. */
function list(title: string, count: number, texts: readonly string[]): string[] {
  if (count === 0) return [];
  const more = count - texts.length;
  const rest = more === 0 ? [] : [texts.length === 0 ? `- ${more}` : `- and ${more} more`];
  return ['', `${title} (${count}):`, ...texts.map((text) => `- ${text}`), ...rest];
}

function opText({ op, before, after, into, isUndone }: NightOp): string {
  const undone = isUndone ? ' (taken back since)' : '';
  const [was, is] = [quoted(before ?? ''), quoted(after ?? '')];
  switch (op) {
    case 'create':
      return `${is}${undone}`;
    case 'supersede':
    case 'revise':
      return `${was} → ${is}${undone}`;
    case 'fold':
      return `${was} into ${into === null ? 'what is gone by now' : quoted(into)}${undone}`;
    case 'retire':
    case 'reinforce':
    case 'conflict':
    case 'skip':
      return `${was}${undone}`;
    default:
      return op satisfies never;
  }
}

/** What changed no text. */
function alsoLine({ ops }: NightOfBank): string[] {
  const parts = [
    [ops.reinforce, 'said again'],
    [ops.skip, 'not worth keeping beyond the raw memory'],
  ].flatMap(([count, what]) => (count ? [`${count} ${what}`] : []));
  return parts.length === 0 ? [] : ['', `Also: ${parts.join(', ')}.`];
}

/** How much was weighed, and what came of it. */
function matterLines({ scored, pins }: BankView, shown: number): string[] {
  const ofChange = (change: NightPin['change']) => pins.filter((pin) => pin.change === change);
  const listOf = (title: string, found: readonly NightPin[]) =>
    list(title, found[0]?.ofChange ?? 0, found.slice(0, shown).map(pinText));
  return [
    ...(scored === 0 ? [] : ['', `Weighed: ${scored} ${scored === 1 ? 'memory' : 'memories'}.`]),
    ...listOf('What mattered, pinned', ofChange('pinned')),
    ...listOf('Pinned no more, to make room', ofChange('evicted')),
  ];
}

function pinText({ change, text, isByHand, isPinned }: NightPin): string {
  switch (change) {
    case 'pinned':
      return `${quoted(text)}${isByHand ? ' (by hand)' : ''}${isPinned ? '' : ' (unpinned since)'}`;
    case 'evicted':
      return `${quoted(text)}${isPinned ? ' (pinned again since)' : ''}`;
    default:
      return change satisfies never;
  }
}

function refusedLine({ refused, refusals }: BankView): string[] {
  if (refused === 0) return [];
  const why = refusals.map(({ validator, times }) => `${validator} ${times}`).join(', ');
  return ['', `Refused (${refused}): ${why}.`];
}

function questions({ bankId, conflicts, proposals }: BankView, shown: number): string[] {
  const ofBank = bankId === 'default' ? '' : ` --bank ${bankId}`;
  const asked = [
    ...conflicts.map(({ id, left, right }) => [
      `Which of these holds, ${quoted(left)} (left) or ${quoted(right)} (right)?`,
      `\`engramd conflicts resolve ${id}${ofBank} --keep left|right|both\``,
    ]),
    ...proposals.map((proposal) => [
      `May this happen: ${proposalText(proposal)}?`,
      `\`engramd changes show ${proposal.id}${ofBank}\`, then \`approve\` or \`reject\``,
    ]),
  ];
  if (asked.length === 0) return [];
  const more = asked.length - shown;
  return [
    '',
    `Questions for you (${asked.length}):`,
    ...asked.slice(0, shown).flatMap(([question, command]) => [`- ${question}`, `  ${command}`]),
    ...(more > 0 ? [`- and ${more} more: \`engramd conflicts list${ofBank}\`, \`engramd changes list${ofBank}\``] : []),
  ];
}

function proposalText({ op, ops, before, after }: NightProposal): string {
  const text = [before, after].flatMap((one) => (one === null ? [] : [quoted(one)]));
  const more = ops > 1 ? ` and ${ops - 1} more` : '';
  return `${op} ${[...new Set(text)].join(' → ')}${more}`;
}

function otherBanksText(banks: readonly NightOfBank[]): string {
  const named = banks.slice(0, fewShown).map(({ bankId }) => quoted(bankId));
  const more = banks.length - named.length;
  return `Something changed in ${banks.length} more: ${named.join(', ')}${more > 0 ? ` and ${more} others` : ''}.`;
}

/** Empty where no model was called. */
function costText({ calls, tokens, unpricedTokens, nanoUsd }: DigestView['cost']): string {
  if (calls === 0) return '';
  const what = `${calls} ${calls === 1 ? 'call' : 'calls'} of models, ${tokens.toLocaleString('en-US')} tokens`;
  const unknown = unpricedTokens > 0 ? ' and what is of no known price' : '';
  return nanoUsd === 0 && unpricedTokens > 0 ? what : `${what}, $${(nanoUsd / 1e9).toFixed(4)}${unknown}`;
}

/** On the clocks of the machine. */
function time(at: Date): string {
  return `${localDay(at)} ${String(at.getHours()).padStart(2, '0')}:${String(at.getMinutes()).padStart(2, '0')}`;
}
