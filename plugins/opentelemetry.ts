// A span per sampled request, sent to a collector by OTLP over HTTP.
import { connectionRequest } from '../core/connection-request.ts';
import { definePlugin, type Hooks, type PluginContext } from '../core/plugin.ts';
import type { Request } from '../core/request.ts';
import type { Session } from '../core/session.ts';
import { compileTemplate, type Variable } from '../core/variables.ts';
import { missingPackages } from './logger/optional-package.ts';
import { sampler } from './logger/place.ts';
import { checkUrlTarget } from './logger/targets.ts';
import { Tally } from './logger/tally.ts';
import { exporterPackages, SpanExporter } from './opentelemetry/exporter.ts';
import { SpanQueue } from './opentelemetry/span-queue.ts';

interface Conf {
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly service_name: string;
  readonly resource: Readonly<Record<string, string>>;
  readonly sample: number;
  readonly ssl_verify: boolean;
  readonly command_text: boolean;
  readonly attributes: Readonly<Record<string, string>>;
  readonly timeout: number;
  readonly batch_max_size: number;
  readonly batch_delay: number;
  readonly max_pending: number;
}

const longestText = 1024;

export default definePlugin<Conf>({
  name: 'opentelemetry',
  version: '1.0.0',
  priority: 395,
  schema: {
    type: 'object', additionalProperties: false,
    properties: {
      endpoint: {
        type: 'string', pattern: '^https?://[^\\s]+$', maxLength: 2048, 'x-expected': 'http:// or https:// address',
        default: 'http://127.0.0.1:4318', description: 'Collector; without a path `/v1/traces` is added.',
      },
      headers: {
        type: 'object', maxProperties: 20, propertyNames: { pattern: '^[A-Za-z0-9-]{1,100}$' },
        additionalProperties: { type: 'string', pattern: '^[\\t\\x20-\\x7e]*$', maxLength: 4096, writeOnly: true },
        default: {}, description: 'Headers of each POST, such as the key of a service.',
      },
      service_name: { type: 'string', minLength: 1, maxLength: 255, default: 'millrace', description: '`service.name` of the resource.' },
      resource: {
        type: 'object', maxProperties: 50, additionalProperties: { type: 'string', maxLength: 1024 }, default: {},
        description: 'Further attributes of the resource, such as `deployment.environment.name`.',
      },
      sample: { type: 'number', minimum: 0, maximum: 1, default: 0.01, description: 'Part of the requests that get a span.' },
      ssl_verify: { type: 'boolean', default: true, description: 'Whether the certificate of the collector is checked.' },
      command_text: {
        type: 'boolean', default: false,
        description: 'Whether `db.query.text` is the command line: passwords masked, arguments cut, other values as they are.',
      },
      attributes: {
        type: 'object', maxProperties: 50, additionalProperties: { type: 'string', maxLength: 1024 }, default: {},
        description: 'Further attributes of each span; texts may contain $variables.',
      },
      timeout: { type: 'number', exclusiveMinimum: 0, maximum: 60, default: 5, description: 'Seconds for one group, its further attempts included.' },
      batch_max_size: { type: 'integer', minimum: 1, maximum: 10_000, default: 256, description: 'Spans sent together.' },
      batch_delay: { type: 'number', exclusiveMinimum: 0, maximum: 60, default: 2, description: 'Seconds that a span waits at most for others.' },
      max_pending: {
        type: 'integer', minimum: 1, maximum: 100_000, default: 2048,
        description: 'Spans that may wait per worker; more are dropped and counted.',
      },
    },
  },
  check: ({ attributes, endpoint }, { targets }) => [...checkEndpoint(endpoint), ...checkUrlTarget(targets, 'endpoint', endpoint), ...checkAttributes(attributes), ...missingPackages('opentelemetry', ...exporterPackages)],
  setup(conf, context): Hooks {
    const place = new Place(conf, context);
    const chosen = sampler(conf.sample);
    const closing = { status: () => place.status(), waiting: () => place.waiting, close: () => place.close() };
    if (context.protocol === 'tcp' || context.protocol === 'udp') {
      // Bytes that pass as they are make no requests: what there is to see is the connection.
      return { disconnect: (session, reason) => { if (chosen()) place.ended(session, reason); }, ...closing };
    }
    return {
      // Asked before there is anything of a span: who is not chosen travels on the fast path.
      select: () => chosen(),
      log: (request) => place.answered(request),
      transient: true, ...closing,
    };
  },
});

function checkEndpoint(endpoint: string): string[] {
  if (!URL.canParse(endpoint)) return ['endpoint: expected an address'];
  const { username, password } = new URL(endpoint);
  // It is shown to whoever reads the configuration.
  return username === '' && password === '' ? [] : ['endpoint: expected an address without user and password, which belong into headers'];
}

function checkAttributes(attributes: Readonly<Record<string, string>>): string[] {
  return Object.entries(attributes).flatMap(([name, text]) => {
    try {
      compileTemplate(text);
      return [];
    } catch (cause) {
      return [`attributes.${name}: ${cause instanceof Error ? cause.message : String(cause)}`];
    }
  });
}

class Place {
  readonly #context: PluginContext;
  readonly #exporter: SpanExporter;
  readonly #queue: SpanQueue;
  readonly #system: string;
  readonly #outcome: (request: Request) => string;
  readonly #database: (request: Request) => string;
  readonly #line: ((request: Request) => string) | null;
  readonly #further: readonly (readonly [name: string, value: Variable])[];
  readonly #tally: Tally;

  constructor(conf: Conf, context: PluginContext) {
    this.#context = context;
    // All doors to Redis are one kind of server.
    this.#system = context.protocol.startsWith('redis') ? 'redis' : context.protocol;
    this.#outcome = context.variable('outcome');
    this.#database = context.variable('redis_db');
    this.#line = conf.command_text ? context.variable('redis_cmd_line') : null;
    this.#further = Object.entries(conf.attributes).map(([name, text]) => [name, compileTemplate(text)] as const);
    this.#tally = new Tally({
      context, sink: 'opentelemetry', things: 'spans',
      sentTotal: context.counter('spans_sent_total', 'Spans that a collector took.'),
      droppedTotal: context.counter('spans_dropped_total', 'Spans that were dropped.'),
    });
    this.#exporter = new SpanExporter({
      targets: context.targets, url: tracesUrl(conf.endpoint), headers: conf.headers, verify: conf.ssl_verify, timeout: conf.timeout * 1000,
      resource: { ...conf.resource, 'service.name': conf.service_name },
    });
    this.#queue = new SpanQueue({
      batchSize: conf.batch_max_size, delay: conf.batch_delay * 1000, maxPending: conf.max_pending,
      send: (spans) => this.#exporter.send(spans),
      onSent: (count) => this.#tally.took(count),
      onDropped: (count, cause) => this.#tally.lost(count, cause),
    });
  }

  answered(request: Request): void {
    const outcome = this.#outcome(request);
    const attributes = this.#database(request) === '' ? {} : { 'db.namespace': this.#database(request) };
    this.#push(request, request.name, outcome === 'ok' ? null : outcome, {
      'db.system': this.#system, 'db.system.name': this.#system, 'db.operation.name': request.name,
      'millrace.outcome': outcome, 'millrace.bytes_in': request.bytesIn, ...attributes,
    });
  }

  ended(session: Session, reason: string): void {
    const connection = connectionRequest(session, reason, this.#context.now());
    this.#push(connection, this.#context.protocol, null, {
      'millrace.reason': reason.toLowerCase(), 'millrace.bytes_in': session.received,
    });
  }

  #push(request: Request, name: string, failure: string | null, attributes: Record<string, string | number>): void {
    const { session, startedAt, sentAt, endedAt, upstreamAddress } = request;
    attributes['client.address'] = session.remoteAddress;
    attributes['client.port'] = session.remotePort;
    attributes['millrace.route'] = session.route.id;
    attributes['millrace.session'] = session.id;
    attributes['millrace.bytes_out'] = request.bytesOut;
    if (upstreamAddress !== '') addServer(attributes, upstreamAddress);
    if (sentAt > 0) {
      attributes['millrace.wait_time'] = seconds(sentAt - startedAt);
      attributes['millrace.upstream_time'] = seconds(endedAt - sentAt);
    }
    if (failure !== null) attributes['error.type'] = failure;
    if (this.#line !== null) attributes['db.query.text'] = shortened(this.#line(request));
    for (const [further, value] of this.#further) {
      const read = value.read(request);
      attributes[further] = typeof read === 'string' ? shortened(read) : read;
    }
    const end = Date.now();
    this.#queue.push({ name, start: end - Math.max(0, endedAt - startedAt), end, attributes, failure });
  }

  get waiting(): number { return this.#queue.pending; }

  status(): Record<string, number> {
    const { sent, dropped } = this.#tally;
    return { sent, dropped, pending: this.waiting };
  }

  async close(): Promise<void> {
    await this.#queue.close();
    this.#exporter.close();
  }
}

/** Of milliseconds, to microseconds, which is what the clock is good for. */
function seconds(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1e6;
}

// A part of a long text would keep the whole of it as long as the span waits.
function shortened(text: string): string {
  return text.length <= longestText ? text : Buffer.from(text.slice(0, longestText)).toString();
}

/** `host:port`, `[address]:port`, or the path of a socket. */
function addServer(attributes: Record<string, string | number>, address: string): void {
  const found = /^(?:\[(.+)\]|([^[\]]*)):(\d{1,5})$/.exec(address);
  attributes['server.address'] = found === null ? address : (found[1] ?? found[2]!);
  if (found !== null) attributes['server.port'] = Number(found[3]);
}

function tracesUrl(endpoint: string): string {
  const url = new URL(endpoint);
  if (url.pathname === '/') url.pathname = '/v1/traces';
  return url.href;
}
