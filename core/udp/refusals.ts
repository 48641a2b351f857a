// Nodes at which a datagram found nobody. It is apart from what is known of the node's TCP port: neither says anything
// about the other. Nothing can be asked by UDP that every server would answer, so a node is tried again by clients'
// datagrams, after 20 ms at first and 2 s at most.
import type { Logger } from '../log.ts';
import { Health } from '../upstream/health.ts';
import type { Node } from '../upstream/node.ts';

const known = new WeakMap<Node, Health>();

/** Whether datagrams may be sent there. */
export function takesDatagrams(node: Node): boolean {
  return known.get(node)?.available ?? true;
}

export function refusedDatagram(node: Node, cause: unknown, log: Logger): void {
  // Checks of the upstream decide alone where there are any.
  if (node.health.judged) return node.health.failed(cause);
  let health = known.get(node);
  if (health === undefined) {
    health = new Health(async () => undefined, {
      onChange: (up, reason) => {
        if (up) return;
        log.warn({ code: 'NODE_DOWN', node: node.address, transport: 'udp', reason }, 'upstream node');
      },
    });
    known.set(node, health);
  }
  health.failed(cause);
}

export function answeredDatagram(node: Node, log: Logger): void {
  if (node.health.judged) return node.health.succeeded();
  const health = known.get(node);
  if (health === undefined) return;
  known.delete(node);
  health.close();
  log.info({ code: 'NODE_UP', node: node.address, transport: 'udp', reason: 'it answered' }, 'upstream node');
}
