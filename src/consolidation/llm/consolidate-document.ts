import type { Alias, Batch, BatchMemory, BatchObservation } from '../decider.ts';
import { fitsAnswer, fixedTokens, type ModelWindow, roomOf, sharesOf } from './limits.ts';
import { cleanText, shortened, shownTime } from './prompt-text.ts';
import { consolidateSchema, consolidateSystem } from './prompts/consolidate-prompt.ts';

/** A batch as it is shown to a model. JSON is the delimiter: nothing in a text can end it. */
export interface ConsolidateDocument {
  /** The user message. */
  readonly json: string;
  /** Memories in it. */
  readonly memories: readonly Alias[];
  /** Memories that are in no prompt of this model: they or their words would not fit its window. */
  readonly tooLong: readonly Alias[];
  /** Observations of which no more than the beginning is shown. */
  readonly cut: ReadonlySet<Alias>;
}

/** The most that texts which are there to help may take of the room, each by what it is. */
const shares = { mission: 0.03, notes: 0.11, context: 0.1, source: 0.05, observation: 0.2 } as const;
/** Of one note; it names a memory and says in a sentence what was wrong. */
const mostNoteTokens = 100;

interface Entry<Shown> {
  readonly alias: Alias;
  readonly shown: Shown;
  readonly tokens: number;
}

/**
 * Writes a batch down within the bounds of the model's window, whatever the batch is. The engine packs by `limitsFor`, so
 * that all of it fits; where it does not, sources go first, then observations from the end of the list, then memories
 * from its end, which the engine asks for again. A memory is never shortened.
 */
export function consolidateDocument(window: ModelWindow, batch: Batch): ConsolidateDocument {
  const { promptTokens, longestPromptTokens } = sharesOf(window.contextTokens);
  const room = roomOf(window);
  const share = (of: keyof typeof shares) => Math.floor(room * shares[of]);
  const fixed = fixedTokens(window, consolidateSystem, consolidateSchema);
  const head = headOf(window, batch, share('mission'), share('notes'));
  const base = fixed + window.tokensOf(write(head, [], []));

  const all = batch.memories.map((memory) => {
    const shown = shownMemory(window, memory, share('context'));
    return { alias: memory.alias, shown, tokens: window.tokensOf(`${JSON.stringify(shown)},`) };
  });
  const fits = (entry: (typeof all)[number]) =>
    base + entry.tokens <= longestPromptTokens && fitsAnswer(window, entry.shown.text);
  const [first, ...others] = all.filter(fits);
  let tokens = base + (first?.tokens ?? 0);
  // One that is long by itself may take more than a batch is packed to.
  const bound = Math.max(promptTokens, tokens);
  const take = <T extends { readonly tokens: number }>(entry: T): T[] => {
    if (tokens + entry.tokens > bound) return [];
    tokens += entry.tokens;
    return [entry];
  };
  const memories = [...(first ? [first] : []), ...others.flatMap(take)];

  const cut = new Set<Alias>();
  const observations = batch.observations.flatMap((observation) => {
    const { shown, cut: isCut } = shownObservation(window, observation, share('observation'), share('source'));
    const entryOf = (form: typeof shown) => ({
      alias: observation.alias,
      shown: form,
      tokens: window.tokensOf(`${JSON.stringify(form)},`),
    });
    const whole = take(entryOf(shown));
    const kept = whole.length > 0 ? whole : take(entryOf({ ...shown, sources: [] }));
    if (isCut) cut.add(observation.alias);
    return kept;
  });

  // Tokens of parts need not add up to those of the whole: the last word has the whole.
  let json = write(head, observations, memories);
  while (fixed + window.tokensOf(json) > bound && observations.length + memories.length > 1) {
    if (observations.length > 0) observations.pop();
    else memories.pop();
    json = write(head, observations, memories);
  }
  if (fixed + window.tokensOf(json) > longestPromptTokens) memories.length = 0;

  return {
    json,
    memories: memories.map(({ alias }) => alias),
    tooLong: [...all.filter((entry) => !fits(entry)), ...(memories.length === 0 && first ? [first] : [])].map(
      ({ alias }) => alias,
    ),
    cut,
  };
}

interface Head {
  readonly mission: string;
  readonly notes: readonly string[];
}

function headOf(window: ModelWindow, batch: Batch, missionTokens: number, notesTokens: number): Head {
  let left = notesTokens;
  const notes = batch.notes.flatMap((note, index) => {
    const { text } = shortened(window, cleanText(note), mostNoteTokens);
    left -= window.tokensOf(`${JSON.stringify(text)},`);
    // The first in any case, or the second request would be the first, whose answer is kept.
    if (left >= 0) return [text];
    return index === 0 ? [shortened(window, text, notesTokens).text] : [];
  });
  return { mission: shortened(window, cleanText(batch.mission), missionTokens).text, notes };
}

function shownMemory(window: ModelWindow, memory: BatchMemory, contextTokens: number) {
  return {
    id: memory.alias,
    text: cleanText(memory.text),
    context: memory.context === null ? null : shortened(window, cleanText(memory.context), contextTokens).text,
    occurred_start: shownTime(memory.occurredStart),
    occurred_end: shownTime(memory.occurredEnd),
    mentioned_at: shownTime(memory.mentionedAt),
  };
}

function shownObservation(
  window: ModelWindow,
  observation: BatchObservation,
  textTokens: number,
  sourceTokens: number,
) {
  const { text, cut } = shortened(window, cleanText(observation.text), textTokens);
  return {
    cut,
    shown: {
      id: observation.alias,
      text,
      valid_from: shownTime(observation.validFrom),
      occurred_start: shownTime(observation.occurredStart),
      occurred_end: shownTime(observation.occurredEnd),
      sources: observation.sources
        // One in the same words shows nothing new.
        .filter((source) => source.text !== observation.text)
        .map((source) => ({
          text: shortened(window, cleanText(source.text), sourceTokens).text,
          mentioned_at: shownTime(source.mentionedAt),
        })),
    },
  };
}

/** Keys in one order: equal batches are equal requests, and are found again by their hash. */
function write(head: Head, observations: readonly Entry<unknown>[], memories: readonly Entry<unknown>[]): string {
  return JSON.stringify({
    mission: head.mission,
    notes: head.notes,
    observations: observations.map(({ shown }) => shown),
    memories: memories.map(({ shown }) => shown),
  });
}
