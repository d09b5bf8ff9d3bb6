import { describe, expect, it } from 'vitest';
import { planReplan } from '../../src/consolidation/replan.ts';
import type { ReplanSource, ReplanTarget } from '../../src/store/replan-work.ts';

describe('what becomes of an observation', () => {
  const source = (memoryId: string, more: Partial<ReplanSource> = {}): ReplanSource => ({
    observationId: 'o',
    memoryId,
    linkedVersion: 1,
    version: 1,
    isValid: true,
    isPending: false,
    sameScope: true,
    text: 'a text',
    context: null,
    mentionedAt: null,
    occurredStart: null,
    occurredEnd: null,
    ...more,
  });
  const target = (sources: ReplanSource[], isLive = true): ReplanTarget => ({
    id: 'o',
    version: 1,
    text: 'a text',
    tags: [],
    isLive,
    validFrom: null,
    embedding: new Float32Array(),
    embeddingModel: '',
    sources,
  });
  const edited = { version: 2, isPending: true };
  const gone = { version: null, isValid: false };

  it.each([
    ['all as it was', [source('a')], { kind: 'rewrite', membersFrom: null }, []],
    ['one gone', [source('a'), source('b', gone)], { kind: 'rewrite', membersFrom: null }, ['b']],
    ['one edited', [source('a'), source('b', edited)], { kind: 'rewrite', membersFrom: null }, ['b']],
    [
      'only edits left',
      [source('a', gone), source('b', edited)],
      { kind: 'rewrite', membersFrom: { memoryId: 'b' } },
      ['a', 'b'],
    ],
    ['an edit in another scope', [source('a', { ...edited, sameScope: false })], { kind: 'retire' }, ['a']],
    ['an edit decided elsewhere', [source('a', { ...edited, isPending: false })], { kind: 'retire' }, ['a']],
    ['nothing left', [source('a', gone)], { kind: 'retire' }, ['a']],
  ])('with %s', (_, sources, expected, dropped) => {
    const decision = planReplan(target(sources));
    expect(decision).toMatchObject(expected);
    expect(decision.links.dropped.map((link) => link.memoryId)).toEqual(dropped);
    expect(decision.links.seen).toHaveLength(sources.length);
  });

  it('that is no longer current: an edit does not bring it back', () => {
    expect(planReplan(target([source('a', edited)], false)).kind).toBe('retire');
  });
});
