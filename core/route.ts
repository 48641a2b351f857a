import type { Plan } from './plan.ts';

/** A stable cell that sessions hold, and what it contains at the moment. */
export interface Route<Conf = any> {
  readonly id: string;
  /** `protocol.name`, or `tcp`. Never changes: a route that changes protocol is another cell. */
  readonly protocol: string;
  conf: Conf;
  /** Null: the route is gone; its sessions end at their next request. */
  plan: Plan | null;
}
