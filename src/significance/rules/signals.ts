import { dangerOf } from './danger.ts';

/**
 * What a sentence says that makes it matter, told by its words. Each list is short on purpose: a rule that is not sure
 * leaves a memory at 1, where it is kept and found all the same.
 */
export type Signal =
  /** "Remember that …", "don't forget …": somebody asks for it. */
  | 'wish'
  /** An allergy, a condition or a medicine on which somebody's life may hang. */
  | 'danger'
  /** What must never be done, in the strongest words. */
  | 'prohibition'
  /** Illness, pregnancy, surgery, diet; a denied danger. */
  | 'health'
  /** Who belongs to whom, and who was born, married or died. */
  | 'family'
  /** "Always …", "never …", "from now on …": how things are to be done. */
  | 'rule'
  /** What somebody prefers, cannot stand, or wants to be called. */
  | 'preference'
  /** Name, home, work. */
  | 'identity'
  /** Something is to happen at a time. */
  | 'commitment';

const kin =
  'wife|husband|spouse|partner|fianc[eé]e?|girlfriend|boyfriend|mother|mum|mom|father|dad|parents?|son|daughter|child|children|kids?|brother|sister|twins?|grand(?:mother|father|son|daughter|ma|pa|children|parents)|uncle|aunt|niece|nephew|cousin';

type PatternSignal = Exclude<Signal, 'danger' | 'commitment'>;

/**
 * No pattern may have two ways to read the same characters within a repetition: a text that fits none would be read in all
 * of them, and the process would stand still. One separator (`[ ,:]*`) behind a whole word has one.
 *
 * Memories are written in the first person or about somebody. "Remember" gives an order only where a sentence or a
 * request begins with it: "I remember that summer" and "remember when we …" ask for nothing.
 */
const patterns: Readonly<Record<PatternSignal, RegExp>> = {
  wish: /^(?:(?:please|and|also|important|note|ok|okay|so|btw)\b[ ,:]*)*(?:(?:always )?remember\b(?!(?: that| the)?(?: one)? (?:when|time|day|summer|trip|how|what|who|where)\b)|(?:do not|don't|never) (?:ever )?forget\b(?! (?:how|the time|when)\b)|(?:keep|bear) in mind\b|make (?:sure (?:you|to) remember|a note\b)|note that\b|for (?:the|future) (?:record|reference)\b)|\b(?:asked|wants?|told|wanted|would like) (?:me|you|us|the (?:agent|assistant)|to be remembered)?,? ?(?:to (?:always )?remember|not to forget|never to forget)\b/u,
  prohibition:
    /\b(?:under no circumstances|must never|may never|must not ever|on no account|never ever)\b|^(?:please )?(?:do not|don't|never) (?:ever )?(?:delete|drop|deploy|push|publish|share|send|pay|sign|email|tell|call|contact|give|restart|overwrite|force-push|commit)\b.*\b(?:without|unless|production|prod|anyone|anybody|outside)\b/u,
  health:
    /\b(?:diagnos(?:ed|is)|surger(?:y|ies)|pregnan(?:t|cy)|cancer|chemo\w*|stroke|heart (?:attack|condition|disease)|asthma|migraines?|disab(?:led|ility)|wheelchair|depress(?:ion|ed)|anxiety disorder|ptsd|medications?|prescri(?:bed|ption)|vegan|vegetarian|kosher|halal|gluten[- ]free|lactose|intoleran(?:t|ce)|sober|alcoholic|transgender|transition(?:ed)? (?:from|to))\b/u,
  family: new RegExp(
    `\\b(?:(?:my|his|her|our|their|\\p{L}{1,40}'s) (?:late |ex-?|elder |younger |older |little |big |eldest |youngest |only |adopted )*(?:${kin})(?:'s name)? (?:is|are|was|were|has|have|died|passed|lives?|works?|named|called)\\b|(?:has|have|had) (?:a|an|one|two|three|four|five|\\d+) (?:\\p{L}+ )?(?:${kin})s?\\b|(?:got |is |are |was |were )?(?:married|engaged|divorced|widowed|adopt(?:ed|ing))\\b|\\b(?:gave birth|was born|were born|passed away|died|funeral)\\b)`,
    'u',
  ),
  rule: /^(?:please |in (?:this|our) \p{L}+,? )?(?:always|never|from now on|whenever|every time)\b(?! (?:been|had|was|were|seen|knew|thought|heard|mind)\b)|\b(?:must|should|has to|have to|needs? to|wants? (?:me|you|us) to) always\b|\b(?:must|should) never\b|\b(?:policy|house rule|the rule) (?:is|says|:)|\bis (?:not allowed|forbidden|mandatory)\b/u,
  preference:
    /\b(?:prefers?|preferred|favou?rite|can(?:no|')t stand|hates?|dislikes?|(?:do not|don't|does not|doesn't) (?:eat|drink|like|want|work on)|would rather|calls? (?:me|him|her|them)|likes? to be called|goes by|pronouns|always (?:drinks?|orders?|eats?|takes?|uses?|wears?|books?|flies|sits?|writes?))\b/u,
  identity:
    /\b(?:my name is|(?:is|am|are) (?:called|named)|lives? (?:in|at|with)|moved (?:to|from|in)|grew up in|comes? from|works? (?:as|at|for)|(?:is|am|was|became|hired as|promoted to) (?:an?|the) (?:\p{L}+ ){0,2}(?:engineer|doctor|nurse|teacher|lawyer|designer|manager|director|student|developer|scientist|researcher|artist|writer|accountant|consultant|counsel(?:l)?or|founder|ceo|cto|head|owner)|birthday|born (?:in|on)|phone number|address is|speaks? \p{Lu}?\p{L}+ (?:and|at home))\b/u,
};

/** Needs a date beside it. */
const commitment =
  /\b(?:deadlines?|due|appointments?|flights?|flies|weddings?|interviews?|exams?|meetings?|conference|launch(?:es)?|release[sd]?|expires?|renew(?:s|al)?|starts?|begins?|ends?|opens?|closes?|moves?|will|going to|has to|have to|must|booked|reserved|scheduled|promised|agreed|plans? to|planned for|arrives?|leaves?|returns?|until|by)\b/u;

/** A date of what is over binds nobody. */
const past =
  /\b(?:last|ago|yesterday|recently|earlier|previously|was|were|had|did|attended|went|celebrated|finished)\b/u;

/** @param sentence in lower case, without the space around it */
export function signalsOf(sentence: string, hasDate: boolean): ReadonlySet<Signal> {
  const found = new Set<Signal>();
  for (const [signal, pattern] of Object.entries(patterns) as [PatternSignal, RegExp][]) {
    if (pattern.test(sentence)) found.add(signal);
  }
  const danger = dangerOf(sentence);
  if (danger !== null) found.add(danger === 'told' ? 'danger' : 'health');
  if (hasDate && commitment.test(sentence) && !past.test(sentence)) found.add('commitment');
  return found;
}
