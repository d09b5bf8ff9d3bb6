/** Amounts of one dimension are compared after `factor`: 1.5 s and 1500 ms are one amount, 5 m and 5 min are not. */
export interface Unit {
  readonly dimension: string;
  readonly factor: number;
}

const second = 1000;
const day = 86_400 * second;

type UnitTable = Readonly<Record<string, readonly [dimension: string, factor: number]>>;

/** Symbols are read with their case: M is a million, m a metre; Mb is not MB. */
const symbols: UnitTable = {
  ms: ['duration', 1],
  s: ['duration', second],
  sec: ['duration', second],
  min: ['duration', 60 * second],
  mins: ['duration', 60 * second],
  h: ['duration', 3600 * second],
  hr: ['duration', 3600 * second],
  hrs: ['duration', 3600 * second],
  d: ['duration', day],
  mm: ['length', 1],
  cm: ['length', 10],
  m: ['length', 1000],
  km: ['length', 1_000_000],
  ft: ['foot', 1],
  mi: ['mile', 1],
  mg: ['mass', 1],
  g: ['mass', 1000],
  kg: ['mass', 1_000_000],
  t: ['mass', 1_000_000_000],
  lb: ['pound-weight', 1],
  lbs: ['pound-weight', 1],
  oz: ['ounce', 1],
  ml: ['volume', 1],
  mL: ['volume', 1],
  cl: ['volume', 10],
  dl: ['volume', 100],
  l: ['volume', 1000],
  L: ['volume', 1000],
  kB: ['bytes', 1e3],
  KB: ['bytes', 1e3],
  MB: ['bytes', 1e6],
  GB: ['bytes', 1e9],
  TB: ['bytes', 1e12],
  KiB: ['bytes', 2 ** 10],
  MiB: ['bytes', 2 ** 20],
  GiB: ['bytes', 2 ** 30],
  TiB: ['bytes', 2 ** 40],
  Hz: ['frequency', 1],
  kHz: ['frequency', 1e3],
  MHz: ['frequency', 1e6],
  GHz: ['frequency', 1e9],
  W: ['power', 1],
  kW: ['power', 1e3],
  MW: ['power', 1e6],
  Wh: ['energy', 1],
  kWh: ['energy', 1e3],
  V: ['volt', 1],
  mAh: ['milliampere-hour', 1],
  px: ['pixel', 1],
  'km/h': ['km/h', 1],
  kmh: ['km/h', 1],
  mph: ['mph', 1],
  'm/s': ['m/s', 1],
  '%': ['percent', 1],
  '°C': ['celsius', 1],
  '°F': ['fahrenheit', 1],
  '°': ['degree', 1],
  '€': ['EUR', 1],
  EUR: ['EUR', 1],
  $: ['USD', 1],
  USD: ['USD', 1],
  '£': ['GBP', 1],
  GBP: ['GBP', 1],
  '¥': ['JPY', 1],
  JPY: ['JPY', 1],
  CHF: ['CHF', 1],
  SEK: ['SEK', 1],
  NOK: ['NOK', 1],
  DKK: ['DKK', 1],
};

/** Words are read in any case, singular or plural. `month` and `year` stay apart from days: they are not always as many. */
const words: UnitTable = {
  millisecond: ['duration', 1],
  second: ['duration', second],
  minute: ['duration', 60 * second],
  hour: ['duration', 3600 * second],
  day: ['duration', day],
  week: ['duration', 7 * day],
  fortnight: ['duration', 14 * day],
  month: ['months', 1],
  year: ['months', 12],
  millimetre: ['length', 1],
  millimeter: ['length', 1],
  centimetre: ['length', 10],
  centimeter: ['length', 10],
  metre: ['length', 1000],
  meter: ['length', 1000],
  kilometre: ['length', 1_000_000],
  kilometer: ['length', 1_000_000],
  foot: ['foot', 1],
  feet: ['foot', 1],
  inch: ['inch', 1],
  inches: ['inch', 1],
  mile: ['mile', 1],
  milligram: ['mass', 1],
  gram: ['mass', 1000],
  gramme: ['mass', 1000],
  kilo: ['mass', 1_000_000],
  kilogram: ['mass', 1_000_000],
  tonne: ['mass', 1_000_000_000],
  millilitre: ['volume', 1],
  milliliter: ['volume', 1],
  litre: ['volume', 1000],
  liter: ['volume', 1000],
  byte: ['bytes', 1],
  kilobyte: ['bytes', 1e3],
  megabyte: ['bytes', 1e6],
  gigabyte: ['bytes', 1e9],
  terabyte: ['bytes', 1e12],
  watt: ['power', 1],
  kilowatt: ['power', 1e3],
  volt: ['volt', 1],
  pixel: ['pixel', 1],
  percent: ['percent', 1],
  'per cent': ['percent', 1],
  pct: ['percent', 1],
  degree: ['degree', 1],
  'degrees celsius': ['celsius', 1],
  'degrees fahrenheit': ['fahrenheit', 1],
  euro: ['EUR', 1],
  dollar: ['USD', 1],
  'us dollar': ['USD', 1],
  yen: ['JPY', 1],
  times: ['times', 1],
};

/** Shouted symbols that mean nothing else; MS, S or M stay what they are. */
const shouted: UnitTable = Object.fromEntries(
  ['kg', 'km', 'cm', 'mm', 'ml', 'min', 'mins', 'hr', 'hrs', 'sec', 'mph'].flatMap((name) => {
    const unit = symbols[name];
    return unit ? [[name.toUpperCase(), unit] as const] : [];
  }),
);

const allSymbols: UnitTable = { ...symbols, ...shouted };
const symbolPattern = alternatives(Object.keys(allSymbols));
const wordPattern = `(?:${alternatives(Object.keys(words))})`;

/** A symbol ends where no letter or digit follows; a word may hang on a hyphen (30-minute). */
const wordUnitAfter = new RegExp(`[ -]?(?<word>${wordPattern})s?(?![\\p{L}\\p{N}])`, 'iuy');
const symbolUnitAfter = new RegExp(`\\s?(?<symbol>${symbolPattern})(?![\\p{L}\\p{N}])`, 'uy');

/** The unit that stands at `position`, right after an amount, and where it ends. Null where there is none. */
export function unitAt(text: string, position: number): { readonly unit: Unit; readonly end: number } | null {
  for (const [pattern, table] of [
    [symbolUnitAfter, allSymbols],
    [wordUnitAfter, words],
  ] as const) {
    pattern.lastIndex = position;
    const match = pattern.exec(text);
    const name = match?.groups?.symbol ?? match?.groups?.word?.toLowerCase();
    const unit = name === undefined ? undefined : table[name];
    if (unit) return { unit: { dimension: unit[0], factor: unit[1] }, end: pattern.lastIndex };
  }
  return null;
}

const currencyBefore = /(?:US\$|[$€£¥]|(?:EUR|USD|GBP|CHF|JPY|SEK|NOK|DKK)(?= ?\d))\s?/uy;

/** A currency written before its amount ($1,200) and where the amount begins. */
export function currencyAt(text: string, position: number): { readonly unit: Unit; readonly end: number } | null {
  currencyBefore.lastIndex = position;
  const match = currencyBefore.exec(text);
  if (!match) return null;
  const unit = symbols[match[0].trim().replace('US$', '$')];
  return unit ? { unit: { dimension: unit[0], factor: unit[1] }, end: currencyBefore.lastIndex } : null;
}

/** Longest first, so that `km` is not read as `k` and an m. */
function alternatives(names: readonly string[]): string {
  return [...names]
    .sort((a, b) => b.length - a.length)
    .map((name) => name.replace(/[$/.*+?^()|[\]{}\\]/gu, '\\$&'))
    .join('|');
}
