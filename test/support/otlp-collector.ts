// A small OTLP collector over HTTP: it keeps the spans that it takes.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Certificate } from './certificates.ts';

export interface CollectedSpan {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  /** Milliseconds since 1970. */
  readonly start: number;
  readonly end: number;
  readonly status: { readonly code?: number; readonly message?: string };
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly resource: Readonly<Record<string, string | number>>;
}

export interface OtlpCollector extends AsyncDisposable {
  readonly port: number;
  readonly spans: readonly CollectedSpan[];
  readonly posts: readonly { readonly path: string; readonly headers: IncomingHttpHeaders; readonly count: number }[];
  /** What it answers from now on; 0: nothing at all; `trickle`: 200, and a byte of the body every 50 ms. */
  answer: number | 'trickle';
}

interface KeyValue { readonly key: string; readonly value: { readonly stringValue?: string; readonly intValue?: string | number; readonly doubleValue?: number } }
interface WireSpan {
  readonly name: string; readonly kind: number; readonly traceId: string; readonly spanId: string; readonly parentSpanId?: string;
  readonly startTimeUnixNano: string; readonly endTimeUnixNano: string; readonly attributes: readonly KeyValue[];
  readonly status: { readonly code?: number; readonly message?: string };
}
interface Body {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[];
  }[];
}

export async function startOtlpCollector(tls?: Certificate): Promise<OtlpCollector> {
  const spans: CollectedSpan[] = [];
  const posts: { path: string; headers: IncomingHttpHeaders; count: number }[] = [];
  const serve: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      const came = spansOf(JSON.parse(Buffer.concat(chunks).toString()) as Body);
      posts.push({ path: request.url ?? '', headers: request.headers, count: came.length });
      if (collector.answer === 0) return;
      if (collector.answer === 'trickle') {
        const timer = setInterval(() => response.write(' '), 50);
        response.on('close', () => clearInterval(timer));
        return;
      }
      if (collector.answer === 200) spans.push(...came);
      response.writeHead(collector.answer, { 'content-type': 'application/json' }).end('{}');
    });
  };
  const server = tls === undefined ? createServer(serve)
    : createTlsServer({ cert: readFileSync(tls.cert), key: readFileSync(tls.key) }, serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const collector: OtlpCollector = {
    port: (server.address() as AddressInfo).port, spans, posts, answer: 200,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
  return collector;
}

function spansOf({ resourceSpans }: Body): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans).map((span) => ({
    name: span.name, kind: span.kind, traceId: span.traceId, spanId: span.spanId, parentSpanId: span.parentSpanId,
    start: Number(span.startTimeUnixNano) / 1e6, end: Number(span.endTimeUnixNano) / 1e6, status: span.status,
    attributes: flat(span.attributes), resource: flat(resource.attributes),
  })));
}

function flat(list: readonly KeyValue[]): Record<string, string | number> {
  return Object.fromEntries(list.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue ?? value.doubleValue)]));
}
