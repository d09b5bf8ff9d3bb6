/** What somebody has, and on which a life may hang. */
const condition =
  '(?:allerg(?:y|ic|ies)|anaphyla\\w+|epilep\\w+|seizures?|diabet(?:es|ic)|pacemaker|h(?:a)?emophilia\\w*|c(?:o)?eliac|suicid\\w+)';

/** What somebody must have at hand, or must be treated by. "No insulin left" and "never without the EpiPen" deny nothing. */
const remedy = '(?:epi-?pens?|insulin|blood thinners?|warfarin|asthma inhaler)';

const danger = new RegExp(`\\b(?:${condition}|${remedy}|emergency contact|blood type|do not resuscitate)\\b`, 'u');

/** What may stand between a denial and its word: "no known drug allergies", "never been diagnosed with epilepsy". */
const between =
  '(?:(?:an?|any|the|at all|actually|currently|really|even|ever|yet|longer|known|reported|recorded|documented|history of|signs? of|to be|been|be|had|has|have|diagnosed with|tested positive for|suffer(?:s|ed)? from|food|drug|medication|medicine|nut|peanut|seafood|shellfish|dairy|milk|egg|wheat|pollen|latex|penicillin) ){0,5}';

const conditionDenied = [
  // An order ("he must not have a seizure") denies nothing, so that "not have" needs its "does".
  '(?:(?:do|does|did) )?not (?!have |had |has )',
  '(?:do|does|did) not (?=have )',
  // "No milk, allergic" is often written without its comma.
  '(?:no (?!(?!longer )\\w+ allergic\\b)|never )',
  'without (?=(?:any |known |drug |food )*allergies)',
  'negative for ',
].join('|');
const remedyDenied =
  '(?:(?:does|did) not (?:need|require) |(?:is|are|am|was|were) not on |no longer (?:needs? |requires? |takes? |on )|never needed )(?:an?|any)? ?';

/** "No allergies except to penicillin" and "no diabetes medicine left" are dangers. */
const takenBack =
  '(?!-| but\\b| (?:alert|bracelet|drugs?|injections?|kit|meds?|medications?|medicines?|pens?|pills?|shots?|supplies|tablets?|treatment)\\b|.{0,60}\\b(?:except|excluding|anything but|apart from|aside from|other than|besides|only)\\b)';

/** A denial counts right before its word, and for what "or" adds to it. */
const denied = new RegExp(
  `\\b(?:(?:${conditionDenied})${between}${condition}(?:,? (?:or|nor) ${between}${condition})*|${remedyDenied}${remedy})\\b${takenBack}`,
  'gu',
);

/** Whether a sentence in lower case tells of a danger; "denied" where each danger of it is denied. */
export function dangerOf(sentence: string): 'told' | 'denied' | null {
  if (!danger.test(sentence)) return null;
  return danger.test(sentence.replace(denied, ' ')) ? 'told' : 'denied';
}
