// Whether a client is known to its server. Who gave no password to one that wants it may say little and wait for little:
// answers of "not you" must not become a weapon.
import { ProxyError } from '../../core/errors.ts';
import { wrongArity } from './door-commands.ts';
import type { LinkSet } from './link-set.ts';
import { RedisReply, type RedisRequest } from './request.ts';
import { errorLine } from './resp/encode.ts';
import { scanLimits, type ScanLimits } from './resp/scan-request.ts';
import type { RedisSession } from './session.ts';

const NOAUTH = errorLine('NOAUTH Authentication required.');
const EXECABORT = errorLine('EXECABORT Transaction discarded because of: NOAUTH Authentication required.');
/** Milliseconds that the answers to a client without a password may wait for it. */
const strangersPatience = 900;

export class Standing {
  readonly #session: RedisSession;
  /** Of what it sends. */
  limits: ScanLimits;
  /** Its node, where that wants a password which the client did not give: all it gets are refusals. */
  refusedBy: LinkSet | null = null;
  /** Why nobody could be asked whether the client is a stranger. */
  unasked: ProxyError | null = null;

  constructor(session: RedisSession) {
    this.#session = session;
    this.limits = scanLimits(session.engine.limits, false);
  }

  /** It has another backend: nothing is known. */
  forget(): void {
    this.limits = scanLimits(this.#session.engine.limits, false);
    this.unasked = null;
    this.refusedBy = null;
  }

  /** Whether the client gave no password to a node that wants one, or may want one. */
  get stranger(): boolean {
    const { identity, nodes } = this.#session;
    if (identity.credentials !== null) return false;
    // While no node can be asked, or another one takes over, a client stays what it was found to be.
    return nodes.linkSet?.requiresAuth ?? !this.limits.authenticated;
  }

  /** Goes by what is known now of its node and of itself. */
  look(): void {
    const { engine, nodes } = this.#session;
    const strict = this.stranger;
    if (strict === this.limits.authenticated) this.limits = scanLimits(engine.limits, !strict);
    const set = strict ? nodes.linkSet : null;
    this.refusedBy = set?.requiresAuth === true ? set : null;
  }

  /** Over a limit for strangers: true when it is not known whether the client is one, and is being asked. */
  learns(): boolean {
    const session = this.#session;
    const set = session.nodes.choose();
    if (set === null) {
      this.unasked = session.nodes.nobody();
      return false;
    }
    if (set.requiresAuth !== null || session.identity.credentials !== null) {
      const strict = this.limits.authenticated;
      this.look();
      if (strict !== this.limits.authenticated) session.hold(Promise.resolve());
      return strict !== this.limits.authenticated;
    }
    session.hold(session.nodes.learnAuth().then((failed) => {
      this.look();
      if (!this.limits.authenticated) this.unasked = failed;
    }));
    return true;
  }

  /** Bytes of answers that may wait for a client: `most`, unless it is a stranger. */
  unsentPause(most: number): number {
    return this.refusedBy === null ? most : Math.min(this.#session.engine.limits.unauthenticatedUnsent, most);
  }

  /** Milliseconds that they may: `most`, unless it is a stranger. */
  patience(most: number): number {
    return this.refusedBy === null ? most : Math.min(strangersPatience, most);
  }

  /**
   * A server closes a connection without a user when more than 1 KiB of answers wait for it, and a shared link is one
   * connection for all strangers: so they are refused here, while the server would refuse them. Null: it has to be asked.
   */
  refusal(request: RedisRequest, by: LinkSet): RedisReply | ProxyError | null {
    if (this.#session.credentials !== null || !by.refusesStrangers) return null;
    return wrongArity(request) ?? new RedisReply(request.name === 'exec' ? EXECABORT : NOAUTH);
  }

  /** Asks the node whether the client may say anything; null: it may. */
  async admission(): Promise<RedisReply | ProxyError | null> {
    const { nodes } = this.#session;
    const set = nodes.choose();
    const failed = set === null ? nodes.nobody() : this.stranger ? await nodes.learnAuth() : null;
    if (failed === null && !this.stranger) return null;
    return failed ?? new RedisReply(NOAUTH);
  }
}
