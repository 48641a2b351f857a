import { nearest, problem, show, type Problem } from './problem.ts';
import type { ListenerSettings } from './settings.ts';

/** Listeners whose default route speaks what nobody here speaks. */
export function unknownProtocols(listeners: readonly ListenerSettings[], known: readonly string[]): Problem[] {
  return listeners.flatMap(({ protocol }, index) => {
    if (protocol === undefined || known.includes(protocol)) return [];
    const meant = nearest(protocol, known);
    const hint = meant === undefined ? '' : `, did you mean "${meant}"?`;
    return [problem(['listeners', index, 'protocol'], 'a known protocol', show(protocol), `unknown protocol [${protocol}]${hint}`)];
  });
}
