/**
 * Something in a text that must not be lost or mixed up. Two values are the same one exactly when kind and key are
 * equal; dates are compared by their parts besides, since "5 March" may be "5 March 2026".
 */
export type Value = NumberValue | DateValue | NameValue;

export interface NumberValue {
  readonly kind: 'number';
  /** Amount and dimension after conversion, or the identifier as written in lower case. */
  readonly key: string;
  /** What is measured: a unit's dimension, `count` without one, `clock`, `ordinal`, or `code` for identifiers. */
  readonly dimension: string;
  readonly amount: number | null;
}

export interface DateValue {
  readonly kind: 'date';
  readonly key: string;
  readonly year: number | null;
  /** 1–12. */
  readonly month: number | null;
  readonly day: number | null;
  /** Monday is 1. */
  readonly weekday: number | null;
  /** Said from where the speaker stood ("yesterday") and not resolved, for want of a time. */
  readonly relative: boolean;
}

/** A name that is recognised by its form: e-mail address, URL, handle, file. */
export interface NameValue {
  readonly kind: 'name';
  readonly key: string;
}

export interface Recognised {
  readonly value: Value;
  /** Where the text goes on. */
  readonly end: number;
}

export function numberValue(amount: number, dimension: string): NumberValue {
  // Twelve digits: 0.1 kg and 100 g differ in the last bit of a double.
  const rounded = Number(amount.toPrecision(12));
  return { kind: 'number', key: `${rounded} ${dimension}`, dimension, amount: rounded };
}

export function codeValue(code: string): NumberValue {
  return { kind: 'number', key: `code ${code.toLowerCase()}`, dimension: 'code', amount: null };
}
