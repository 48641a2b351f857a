// From the settings' limits (snake case, bytes and seconds) to those that the engine reads (milliseconds).
import type { Limits } from './limits.ts';
import type { LimitSettings } from './settings.ts';

export function limitsOf(settings: LimitSettings): Limits {
  const ms = (seconds: number): number => Math.round(seconds * 1000);
  return {
    pipelined: settings.pipelined_requests,
    replyWindow: settings.reply_window_bytes,
    unsentPause: settings.unsent_reply_pause_bytes,
    unsentClose: settings.unsent_reply_close_bytes,
    slowClient: ms(settings.slow_client_s),
    bufferedBytes: settings.buffered_bytes,
    memory: settings.memory_bytes,
    linkPending: settings.link_pending_bytes,
    spentSlots: settings.link_spent_slots,
    ownLinks: settings.own_links_per_node,
    ownLinkWait: ms(settings.own_link_wait_s),
    streamFrom: settings.stream_from_bytes,
    assembly: settings.request_bytes,
    inlineLine: settings.inline_bytes,
    bulk: settings.bulk_bytes,
    arguments: settings.arguments,
    unauthenticatedArguments: settings.unauthenticated_arguments,
    unauthenticatedBulk: settings.unauthenticated_bulk_bytes,
    unauthenticatedUnsent: settings.unauthenticated_unsent_bytes,
    replyNesting: settings.reply_nesting,
    clientsPerListener: settings.clients_per_listener,
    clientsPerAddress: settings.clients_per_address,
    requestTimeout: ms(settings.request_timeout_s),
    connectTimeout: ms(settings.connect_timeout_s),
    clientIdle: ms(settings.client_idle_timeout_s),
    handshakeTimeout: ms(settings.tls_handshake_timeout_s),
    authFailures: settings.auth_failures_per_minute,
  };
}
