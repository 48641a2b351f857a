// RFC 5424 around a record: facility syslog (5), severity info (6), no structured elements.
import { hostname } from 'node:os';

const host = hostname().replaceAll(/[^\x21-\x7e]/g, '').slice(0, 255) || '-';

export function syslogFrame(record: string): string {
  return `<46>1 ${new Date().toISOString()} ${host} millrace ${process.pid} - - ${record}`;
}
