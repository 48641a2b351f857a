// `millrace top`: what passes through a running Millrace, route by route, second by second.
import { AdminClient, type AdminOptions } from './admin-client.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';

export interface TopOptions extends AdminOptions {
  /** Seconds between two looks. */
  readonly interval: number;
  /** Shows one interval and ends. */
  readonly once?: boolean;
}

type Series = ReadonlyMap<string, number>;

interface Look {
  readonly at: number;
  readonly series: Series;
  readonly sessions: readonly { readonly client: string; readonly route: string; readonly in_flight: number; readonly last_operation: string; readonly idle: number }[];
}

const shownRoutes = 20;
const shownSessions = 10;

export async function top(options: TopOptions): Promise<ExitCode> {
  try {
    const admin = AdminClient.open(options);
    let before = await look(admin);
    for (;;) {
      await new Promise((resolve) => { setTimeout(resolve, options.interval * 1000); });
      const now = await look(admin);
      const page = render(before, now, admin.url);
      // A terminal is drawn anew, everything else is written one below the other.
      console.log(process.stdout.isTTY && options.once !== true ? `\u001b[2J\u001b[H${page}` : page);
      if (options.once === true) return exitCodes.ok;
      before = now;
    }
  } catch (error) {
    console.error(`millrace: ${(error as Error).message}`);
    return exitCodes.invalid;
  }
}

async function look(admin: AdminClient): Promise<Look> {
  const [text, { list }] = await Promise.all([admin.get('/metrics'), admin.get('/apisix/admin/sessions?limit=1000')]);
  return { at: performance.now(), series: parse(String(text)), sessions: list };
}

/** `name{labels}` → value. */
function parse(text: string): Series {
  const series = new Map<string, number>();
  for (const line of text.split('\n')) {
    const space = line.lastIndexOf(' ');
    if (line !== '' && !line.startsWith('#')) series.set(line.slice(0, space), Number(line.slice(space + 1)));
  }
  return series;
}

function render(before: Look, now: Look, url: string): string {
  const seconds = (now.at - before.at) / 1000;
  const rate = (name: string): number => ((now.series.get(name) ?? 0) - (before.series.get(name) ?? 0)) / seconds;
  const routes = [...now.series.keys()].flatMap((name) => /^millrace_requests_total(\{.*\})$/.exec(name)?.[1] ?? [])
    .map((labels) => ({
      route: /route="([^"]*)"/.exec(labels)?.[1] ?? '?',
      requests: rate(`millrace_requests_total${labels}`), errors: rate(`millrace_request_errors_total${labels}`),
      bytesIn: rate(`millrace_received_bytes_total${labels}`), bytesOut: rate(`millrace_sent_bytes_total${labels}`),
      clients: now.series.get(`millrace_connections_active${labels}`) ?? 0,
    }))
    .toSorted((a, b) => b.requests - a.requests || (a.route < b.route ? -1 : 1));
  const nodes = [...now.series].flatMap(([name, up]) => {
    const node = /^millrace_upstream_node_up\{node="([^"]*)"\}$/.exec(name)?.[1];
    return node === undefined ? [] : [`${node} ${up === 1 ? 'up' : 'DOWN'}`];
  });
  const busy = now.sessions.toSorted((a, b) => b.in_flight - a.in_flight || a.idle - b.idle).slice(0, shownSessions);
  return [
    `${url}  ${now.sessions.length} clients  ${new Date().toISOString()}`,
    '',
    row('ROUTE', 'CLIENTS', 'REQUESTS/S', 'ERRORS/S', 'IN/S', 'OUT/S'),
    ...routes.slice(0, shownRoutes).map((each) =>
      row(each.route, each.clients, each.requests.toFixed(0), each.errors.toFixed(1), size(each.bytesIn), size(each.bytesOut))),
    ...(nodes.length === 0 ? [] : ['', `nodes: ${nodes.join(', ')}`]),
    ...(busy.length === 0 ? [] : ['', row('CLIENT', 'IN FLIGHT', 'IDLE S', 'LAST', 'ROUTE', '')]),
    ...busy.map((each) => row(each.client, each.in_flight, each.idle.toFixed(1), each.last_operation, each.route, '')),
  ].join('\n');
}

function row(first: string, ...others: readonly (string | number)[]): string {
  return (first.padEnd(24) + others.map((each) => String(each).padStart(12)).join('')).trimEnd();
}

function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}
