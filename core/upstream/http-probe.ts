// The reference's HTTP check: the status of one answer decides.
import { request as plainRequest, type ClientRequest, type RequestOptions } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { isIP } from 'node:net';
import type { CheckConf } from './check-conf.ts';
import { ProbeFailure, type ProbeTarget } from './probe.ts';

export function httpProbe(conf: CheckConf, target: ProbeTarget, signal: AbortSignal): Promise<void | 'neither'> {
  return new Promise((resolve, reject) => {
    let request: ClientRequest;
    try {
      request = (conf.type === 'https' ? tlsRequest : plainRequest)(optionsOf(conf, target, signal));
    } catch (cause) {
      reject(cause);
      return;
    }
    request.once('response', (response) => {
      const { statusCode: status = 0 } = response;
      // Headers are all that is wanted; a body may be long.
      request.destroy();
      if (conf.healthy.statuses.includes(status)) resolve();
      else if (conf.unhealthy.statuses.includes(status)) reject(new ProbeFailure('http', `status ${status}`));
      else resolve('neither');
    });
    request.on('error', reject);
    request.end(conf.body);
  });
}

function optionsOf(conf: CheckConf, { dial, address, tls }: ProbeTarget, signal: AbortSignal): RequestOptions {
  const headers: Record<string, string | string[]> = { host: conf.host ?? address, 'user-agent': 'millrace', connection: 'close' };
  if (conf.body !== '') headers['content-length'] = String(Buffer.byteLength(conf.body));
  for (const line of conf.headers) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const name = conf.host ?? ('host' in dial ? dial.host : undefined);
  const where = 'path' in dial ? { socketPath: dial.path } : { host: dial.host, port: dial.port, lookup: dial.lookup };
  return {
    ...where, method: conf.method, path: conf.path, headers, signal, agent: false,
    ...(conf.type !== 'https' ? {} : {
      ...(tls?.ca === undefined ? {} : { ca: tls.ca }), rejectUnauthorized: conf.verify,
      ...(name === undefined || isIP(name) !== 0 ? {} : { servername: name }),
    }),
  };
}
