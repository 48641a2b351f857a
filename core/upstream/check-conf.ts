// `checks` of an upstream with its defaults filled in. Times in ms.

export interface Limits {
  /** 0: such failures don't count. */
  readonly http: number;
  readonly tcp: number;
  readonly timeout: number;
  readonly protocol: number;
}

export interface CheckConf {
  readonly type: string;
  readonly timeout: number;
  readonly concurrency: number;
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly method: string;
  readonly path: string;
  readonly body: string;
  readonly verify: boolean;
  readonly headers: readonly string[];
  readonly healthy: { readonly interval: number; readonly statuses: readonly number[]; readonly successes: number };
  readonly unhealthy: { readonly interval: number; readonly statuses: readonly number[]; readonly limits: Limits };
  /** Null: clients' traffic says nothing. */
  readonly passive: { readonly successes: number; readonly limits: Limits } | null;
  /** `active` as it was written. */
  readonly written: Readonly<Record<string, unknown>>;
}

type Part = Readonly<Record<string, any>>;

export function checkConfOf(checks: Part): CheckConf {
  const active: Part = checks['active'] ?? {};
  const healthy: Part = active['healthy'] ?? {};
  const unhealthy: Part = active['unhealthy'] ?? {};
  const passive: Part | undefined = checks['passive'];
  return {
    type: active['type'] ?? 'http',
    timeout: (active['timeout'] ?? 1) * 1000,
    concurrency: active['concurrency'] ?? 10,
    host: active['host'],
    port: active['port'],
    method: active['http_method'] ?? 'GET',
    path: active['http_path'] ?? '/',
    body: active['http_req_body'] ?? '',
    verify: active['https_verify_certificate'] ?? true,
    headers: active['req_headers'] ?? [],
    healthy: {
      interval: (healthy['interval'] ?? 1) * 1000,
      statuses: healthy['http_statuses'] ?? [200, 302],
      successes: healthy['successes'] ?? 2,
    },
    unhealthy: {
      interval: (unhealthy['interval'] ?? 1) * 1000,
      statuses: unhealthy['http_statuses'] ?? [429, 404, 500, 501, 502, 503, 504, 505],
      limits: limitsOf(unhealthy, { http: 5, tcp: 2, timeout: 3, protocol: 2 }),
    },
    passive: passive === undefined ? null : {
      successes: passive['healthy']?.successes ?? 5,
      limits: limitsOf(passive['unhealthy'] ?? {}, { http: 5, tcp: 2, timeout: 7, protocol: 5 }),
    },
    written: active,
  };
}

function limitsOf(unhealthy: Part, otherwise: Limits): Limits {
  return {
    http: unhealthy['http_failures'] ?? otherwise.http,
    tcp: unhealthy['tcp_failures'] ?? otherwise.tcp,
    timeout: unhealthy['timeouts'] ?? otherwise.timeout,
    protocol: unhealthy['protocol_failures'] ?? otherwise.protocol,
  };
}
