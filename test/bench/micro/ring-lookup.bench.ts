// What choosing a node by key costs on a ketama ring. Aim: below 150 ns with 100 nodes.
import { buildBalancer } from '../../../core/upstream/balancer.ts';
import { Node } from '../../../core/upstream/node.ts';
import { calls, nanoseconds } from '../nanoseconds.ts';

const keys = Array.from({ length: 1024 }, (_, i) => Buffer.from(`key:${String(i).padStart(12, '0')}`));

await nanoseconds('ring-lookup', {
  '1 node': picking(1),
  '3 nodes': picking(3),
  '100 nodes': picking(100),
});

function picking(count: number): () => number {
  const candidates = Array.from({ length: count }, (_, i) => ({
    node: new Node(`10.0.0.${i + 1}`, 6379, {}), weight: 1, priority: 0,
  }));
  const balancer = buildBalancer('chash', candidates);
  return () => {
    let found = 0;
    for (let i = 0; i < calls; i++) found += balancer.pick(keys[i & 1023]!, 0)!.port;
    return found;
  };
}
