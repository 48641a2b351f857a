// Makes spans of facts and sends them by OTLP. The packages are loaded when the first group is sent.
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { hostname } from 'node:os';
import { threadId } from 'node:worker_threads';
import type { Attributes, Tracer } from '@opentelemetry/api';
import type { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import type { ReadableSpan, TracerProviderOptions } from '@opentelemetry/sdk-trace';
import type { Targets } from '../../core/plugin.ts';
import { urlTarget } from '../logger/targets.ts';
import type { SpanFacts } from './span-facts.ts';

export interface ExporterOptions {
  readonly targets: Targets;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Whether the collector's certificate is checked. */
  readonly verify: boolean;
  /** Milliseconds for one group, its further attempts included. */
  readonly timeout: number;
  /** Of the service that sends them. */
  readonly resource: Readonly<Record<string, string>>;
}

type Resource = NonNullable<TracerProviderOptions['resource']>;

interface Loaded {
  readonly tracer: Tracer;
  readonly exporter: OTLPTraceExporter;
  readonly api: typeof import('@opentelemetry/api');
}

const longestReason = 200;

export const exporterPackages = ['@opentelemetry/api', '@opentelemetry/sdk-trace', '@opentelemetry/exporter-trace-otlp-http'];

export class SpanExporter {
  readonly #options: ExporterOptions;
  readonly #agent: HttpAgent;
  #loading: Promise<Loaded> | null = null;
  /** Ended spans of the group that is being made. */
  #ended: ReadableSpan[] = [];

  constructor(options: ExporterOptions) {
    this.#options = options;
    const { host, lookup } = urlTarget(options.targets, options.url);
    // An agent's options win over those of a request.
    const pool = { keepAlive: true, maxSockets: 1, host, lookup };
    this.#agent = options.url.startsWith('https:')
      ? new HttpsAgent({ ...pool, rejectUnauthorized: options.verify }) : new HttpAgent(pool);
  }

  /** Rejects when the collector did not take them. One group at a time. */
  async send(spans: readonly SpanFacts[]): Promise<void> {
    const { tracer, exporter, api } = await (this.#loading ??= this.#load());
    for (const facts of spans) {
      const { name, start: startTime, end, attributes, failure } = facts;
      const span = tracer.startSpan(name, { kind: api.SpanKind.CLIENT, startTime, attributes, root: true });
      if (failure !== null) span.setStatus({ code: api.SpanStatusCode.ERROR, message: failure });
      span.end(end);
    }
    const made = this.#ended;
    this.#ended = [];
    // The exporter's own limit is one of silence: an answer that trickles in would hold it up for ever.
    const deadline = setTimeout(() => this.#agent.destroy(), this.#options.timeout);
    try {
      await new Promise<void>((resolve, reject) => {
        // The body of an answer is not shown: nobody knows what it repeats.
        exporter.export(made, ({ code, error }) => {
          // 0 is success.
          if (!code) resolve();
          else reject(new Error(reasonOf(error)));
        });
      });
    } finally {
      clearTimeout(deadline);
    }
  }

  async #load(): Promise<Loaded> {
    const [api, { TracerProvider, AlwaysOnSampler }, { OTLPTraceExporter: Exporter }] = await Promise.all([
      import('@opentelemetry/api'), import('@opentelemetry/sdk-trace'), import('@opentelemetry/exporter-trace-otlp-http'),
    ]);
    const { url, headers, timeout, resource } = this.#options;
    const provider = new TracerProvider({
      resource: resourceOf(resource),
      // Who is not sampled did not come this far.
      sampler: new AlwaysOnSampler(),
      spanProcessors: [{
        onStart: () => {}, onEnd: (span) => { this.#ended.push(span); },
        forceFlush: () => Promise.resolve(), shutdown: () => Promise.resolve(),
      }],
    });
    const exporter = new Exporter({
      url, headers: { ...headers }, timeoutMillis: timeout, concurrencyLimit: 1, httpAgentOptions: () => this.#agent,
    });
    return { api, exporter, tracer: provider.getTracer('millrace') };
  }

  /** What is under way is given up. */
  close(): void {
    this.#agent.destroy();
  }
}

/** Its own package makes no other: attributes that are known from the start. */
function resourceOf(own: Readonly<Record<string, string>>): Resource {
  const attributes: Attributes = {
    'service.instance.id': `${hostname()}:${process.pid}:${threadId}`,
    'telemetry.sdk.name': 'opentelemetry', 'telemetry.sdk.language': 'nodejs', ...own,
  };
  const resource: Resource = {
    attributes,
    merge: (other) => (other === null ? resource : other),
    getRawAttributes: () => Object.entries(attributes),
  };
  return resource;
}

/** `ECONNREFUSED …`, or the collector's status with its text. */
function reasonOf(error: (Error & { code?: unknown }) | undefined): string {
  const text = (error?.message ?? '').slice(0, longestReason);
  const { code } = error ?? {};
  if (typeof code === 'number') return `the collector answered ${code} ${text}`.trimEnd();
  if (text === '') return typeof code === 'string' ? code : 'the collector did not take them';
  return text;
}
