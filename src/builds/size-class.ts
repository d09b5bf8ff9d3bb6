/*
 * How much a bank may grow or shrink before what was built of it counts as built of another bank. Classes of a fixed
 * size do not do: with ten rows each a bank of 4,000 that gets 150 a day misses fifteen times a day, and with 250 each a
 * bank of 300 never does.
 */

/** Up to here classes are ten rows wide; from here on each is 5 % wider than the one before. */
const geometricFrom = 200;
const smallWidth = 10;
const ratio = 1.05;

/** In which class a bank of so many rows is. */
export function sizeClass(rows: number): number {
  if (rows < geometricFrom) return Math.floor(rows / smallWidth);
  return geometricFrom / smallWidth + Math.floor(Math.log(rows / geometricFrom) / Math.log(ratio));
}

/**
 * Whether what was built of `builtOf` rows still does for `rows`: in its class, or within half a class of it. Without the
 * half a bank at the edge of its class would miss at each row that comes and at each that goes.
 */
export function isSameSize(builtOf: number, rows: number): boolean {
  const { from, to } = boundsOf(sizeClass(builtOf));
  const slack = (to - from) / 2;
  return rows >= from - slack && rows < to + slack;
}

/** `to` is the first count beyond the class, not always a whole one. */
function boundsOf(index: number): { readonly from: number; readonly to: number } {
  const firstGeometric = geometricFrom / smallWidth;
  if (index < firstGeometric) return { from: index * smallWidth, to: (index + 1) * smallWidth };
  const from = geometricFrom * ratio ** (index - firstGeometric);
  return { from, to: from * ratio };
}
