// The scenes that clients draw from: a few commands that belong together, with what each of them must answer.
import type { TortureClient } from './client.ts';
import * as exclusive from './scenes-exclusive.ts';
import * as shared from './scenes-shared.ts';
import type { Step } from './step.ts';

export type { SceneMemory } from './scenes-shared.ts';
export type Scene = (client: TortureClient) => Step[];

const weights: readonly (readonly [name: string, scene: Scene, weight: number])[] = [
  ['get-or-set', shared.getOrSet, 30],
  ['echo', shared.echo, 8],
  ['inline', shared.inline, 2],
  ['incr', shared.incr, 8],
  ['mget', shared.mget, 5],
  ['collections', shared.collections, 4],
  ['denied', shared.denied, 3],
  ['unknown', shared.unknownCommand, 1],
  ['transaction', exclusive.transaction, 5],
  ['watch', exclusive.watch, 3],
  ['discard', exclusive.discard, 2],
  ['list-pair', exclusive.listPair, 3],
  ['blocked', exclusive.blocked, 1],
  ['select', exclusive.select, 3],
  ['hello', exclusive.hello, 2],
  ['reply-off', exclusive.replyOff, 2],
  ['reply-skip', exclusive.replySkip, 2],
  ['subscribe', exclusive.subscribe, 1],
];

const draws = weights.flatMap(([name, scene, weight]) => Array.from({ length: weight }, () => [name, scene] as const));

export function drawScene(client: TortureClient): Step[] {
  const [name, scene] = client.dice.of(draws);
  client.world.scene(name);
  return scene(client);
}
