// Sinks and where they are: what `check` says of them, and how those that are named by a URL are connected to.
import type { Target, Targets } from '../../core/plugin.ts';

/** What is wrong with a place, as texts for `check`; `at` is the field that names it. */
export function checkTarget(targets: Targets, at: string, host: string, port: number): string[] {
  const refusal = targets.refusal(host, port);
  return refusal === null ? [] : [`${at}: ${refusal}`];
}

/** The same of a URL; one that cannot be read is another check's business. */
export function checkUrlTarget(targets: Targets, at: string, url: string): string[] {
  if (!URL.canParse(url)) return [];
  const { host, port } = placeOf(url);
  return checkTarget(targets, at, host, port);
}

export function urlTarget(targets: Targets, url: string): Target {
  const { host, port } = placeOf(url);
  return targets.dial(host, port);
}

function placeOf(url: string): { readonly host: string; readonly port: number } {
  const { hostname, port, protocol } = new URL(url);
  const usual = protocol === 'https:' ? 443 : 80;
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? usual : Number(port) };
}
