// Places where logs go, real ones, for tests: they keep what they get.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingHttpHeaders } from 'node:http';
import { createServer, type AddressInfo, type Socket } from 'node:net';

export interface LogSink extends AsyncDisposable {
  readonly port: number;
  /** What came: lines, datagrams, or bodies of POSTs. */
  readonly records: string[];
  /** Resolves when so many came. */
  wait(count: number): Promise<string[]>;
}

interface Collector {
  readonly records: string[];
  readonly add: (record: string) => void;
  readonly wait: (count: number) => Promise<string[]>;
}

function collector(): Collector {
  const records: string[] = [];
  const waiting = new Set<() => void>();
  return {
    records,
    add(record) {
      records.push(record);
      for (const look of waiting) look();
    },
    wait(count) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`expected ${count} records, got ${records.length}`)), 10_000);
        const look = (): void => {
          if (records.length < count) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve(records.slice(0, count));
        };
        waiting.add(look);
        look();
      });
    },
  };
}

export interface TcpLogSink extends LogSink {
  readonly connections: Set<Socket>;
  readonly accepted: number;
}

export async function tcpLogSink(port = 0, read = true): Promise<TcpLogSink> {
  const { records, add, wait } = collector();
  const connections = new Set<Socket>();
  let accepted = 0;
  const server = createServer((socket) => {
    accepted++;
    connections.add(socket);
    let rest = '';
    socket.on('error', () => {}).on('close', () => connections.delete(socket));
    if (!read) return void socket.pause();
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      lines.forEach(add);
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    records, wait, connections,
    get accepted() { return accepted; },
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of connections) socket.destroy();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
}

export async function udpLogSink(): Promise<LogSink> {
  const { records, add, wait } = collector();
  const socket = createSocket('udp4', (message) => add(message.toString()));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    records, wait, port: socket.address().port,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => { socket.close(() => resolve()); }),
  };
}

export interface HttpLogSink extends LogSink {
  readonly headers: IncomingHttpHeaders[];
  /** Status of the next answers; 200 when it is used up. */
  readonly statuses: number[];
}

export async function httpLogSink(): Promise<HttpLogSink> {
  const { records, add, wait } = collector();
  const headers: IncomingHttpHeaders[] = [];
  const statuses: number[] = [];
  const server = createHttpServer((request, response) => {
    headers.push(request.headers);
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => { body += text; }).on('end', () => {
      response.statusCode = statuses.shift() ?? 200;
      response.end('thanks');
      add(body);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    records, wait, headers, statuses, port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
}
