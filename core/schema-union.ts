import type { ErrorObject } from 'ajv';

/**
 * ajv reports every branch of a union that failed. The reader wants the one he meant: the branch whose type
 * fits; if none fits, one sentence for the union.
 */
export function settleUnions(errors: readonly ErrorObject[]): ErrorObject[] {
  const rest = [...errors];
  const settled: ErrorObject[] = [];
  for (let error = rest.pop(); error !== undefined; error = rest.pop()) {
    if (error.keyword !== 'anyOf' && error.keyword !== 'oneOf') {
      settled.push(error);
      continue;
    }
    const prefix = `${error.schemaPath}/`;
    const mine = rest.filter((other) => other.schemaPath.startsWith(prefix));
    for (const other of mine) rest.splice(rest.indexOf(other), 1);
    const meant = meantBranch(error, mine, prefix);
    settled.push(...(meant === null ? [error] : settleUnions(meant).toReversed()));
  }
  return settled.toReversed();
}

function meantBranch(
  union: ErrorObject, errors: readonly ErrorObject[], prefix: string,
): ErrorObject[] | null {
  const byBranch = Map.groupBy(errors, (error) => error.schemaPath.slice(prefix.length).split('/')[0]);
  const atTop = (error: ErrorObject): boolean => error.instancePath === union.instancePath;
  const fitting = [...byBranch.values()].filter((branch) => !branch.some(
    (error) => atTop(error) && ['type', 'enum', 'const'].includes(error.keyword)));
  if (fitting.length === 1) return fitting[0] ?? null;
  const onlyRequired = fitting.every((branch) => branch.every((error) => error.keyword === 'required'));
  if (fitting.length === 0 || onlyRequired) return null;
  return fitting.toSorted((a, b) => distance(a) - distance(b))[0] ?? null;
}

// A wrong `type: …` tag inside a branch says that another branch was meant.
function distance(branch: readonly ErrorObject[]): number {
  return branch.reduce((sum, error) => sum + (['const', 'enum'].includes(error.keyword) ? 10 : 1), 0);
}
