/** Prints whether a bound holds, and has the process say so at its end. */
export function tell(holds: boolean, says: string): void {
  console.log(`${holds ? 'PASS' : 'FAIL'} ${says}`);
  if (!holds) process.exitCode = 1;
}
