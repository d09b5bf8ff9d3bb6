import { type ExportHeader, ImportLineError } from './export-format.ts';
import { type TransferTableName, transferTables } from './transfer-tables.ts';

type Row = Readonly<Record<string, unknown>>;

/** Versions and numbers are counted on from: near the end of what a number can be, nothing could be. */
const mostNumber = 2 ** 52;

/** What the rows of an export have to be for one another, and for whoever reads them once they are in a database. */
export class RowRules {
  readonly #header: ExportHeader;
  readonly #dimensions = new Map<unknown, number>();
  #furthest = 0;
  #appliedNo = 0;

  constructor(header: ExportHeader) {
    this.#header = header;
  }

  /** @throws ImportLineError */
  check(line: number, table: TransferTableName, row: Row): void {
    const problem = this.#problemOf(table, row);
    if (problem !== null) throw new ImportLineError(line, problem);
  }

  #problemOf(table: TransferTableName, row: Row): string | null {
    const place = transferTables.findIndex(({ name }) => name === table);
    const bankColumn = transferTables[place]?.bankColumn ?? null;
    const columns = this.#header.columns[table];
    if (place < this.#furthest) return `a row of ${table} stands out of its place`;
    this.#furthest = place;
    if (columns === undefined) return `a row of ${table}, whose columns the first line does not name`;
    if (bankColumn !== null && row[bankColumn] !== this.#header.bank) {
      return `a row of another bank than ${this.#header.bank}`;
    }
    const missing = columns.find((column) => !(column in row));
    if (missing !== undefined) return `a row of ${table} without ${missing}`;
    const tooLarge = columns.find((column) => isTooLarge(row[column]));
    if (tooLarge !== undefined) return `${tooLarge} is larger than ${mostNumber}`;
    switch (table) {
      case 'embedding_models':
        return this.#modelProblem(row);
      case 'memories':
      case 'observations':
        return this.#vectorProblem(row);
      case 'change_ops':
        return this.#orderProblem(row);
      case 'snapshots':
        return isNumber(row.applied_no) ? null : 'a snapshot whose applied_no is no number';
      default:
        return null;
    }
  }

  #modelProblem({ id, dimensions }: Row): string | null {
    if (!isNumber(dimensions)) return 'a model without a number of dimensions';
    if (this.#dimensions.has(id)) return `model ${String(id)} stands there twice`;
    this.#dimensions.set(id, dimensions);
    return null;
  }

  /** One vector of another length keeps an index of vectors from being built. */
  #vectorProblem({ embedding = null, embedding_model: model }: Row): string | null {
    if (embedding === null) return null;
    const dimensions = this.#dimensions.get(model);
    if (dimensions === undefined) return `a vector of ${String(model)}, a model that the file does not hold`;
    if (!Array.isArray(embedding)) return 'a vector that is no list of numbers';
    if (embedding.length !== dimensions) {
      return `a vector of ${embedding.length} numbers, where ${String(model)} makes ${dimensions}`;
    }
    // Numbers that JSON has no word for are written as text.
    return embedding.every((part) => typeof part === 'number' || typeof part === 'string')
      ? null
      : 'a vector that is no list of numbers';
  }

  /** They are numbered anew, in the order in which they stand. */
  #orderProblem({ applied_no: appliedNo }: Row): string | null {
    if (!isNumber(appliedNo)) return 'an op whose applied_no is no number';
    if (appliedNo <= this.#appliedNo) return 'an op that stands behind one that took effect later';
    this.#appliedNo = appliedNo;
    return null;
  }
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isTooLarge(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(isTooLarge);
  return typeof value === 'number' && Math.abs(value) > mostNumber;
}
