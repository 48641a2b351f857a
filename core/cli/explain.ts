// `millrace explain`: which route a connection would take, and why.
import type { ExplainAnswer } from '../inspect.ts';
import { AdminClient, type AdminOptions } from './admin-client.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';

export interface ExplainOptions extends AdminOptions {
  readonly client?: string;
  readonly server?: string;
  readonly sni?: string;
  readonly json?: boolean;
}

type Answer = ExplainAnswer & { readonly connection: { readonly client: string; readonly server: string; readonly sni: string | null } };

export async function explain(options: ExplainOptions): Promise<ExitCode> {
  try {
    const query = new URLSearchParams(Object.entries({ client: options.client, server: options.server, sni: options.sni })
      .filter((entry): entry is [string, string] => entry[1] !== undefined));
    const answer = await AdminClient.open(options).get(`/apisix/admin/explain?${query.toString()}`) as Answer;
    console.log(options.json === true ? JSON.stringify(answer, null, 2) : textOf(answer));
    return exitCodes.ok;
  } catch (error) {
    console.error(`millrace: ${(error as Error).message}`);
    return exitCodes.invalid;
  }
}

function textOf({ connection, route, protocol, plugins, nodes, others }: Answer): string {
  const { client, server, sni } = connection;
  const lines = [`${client} -> ${server}${sni === null ? '' : ` (${sni})`}`];
  lines.push(route === null ? 'no route: the connection is closed, unless the listener has a default' : `route ${route}, protocol ${protocol}`);
  for (const { name, priority, phases } of plugins) lines.push(`  plugin ${name} (${priority}): ${phases.join(', ')}`);
  for (const { address, available, weight } of nodes) lines.push(`  node ${address}, weight ${weight}${available ? '' : ', left out'}`);
  for (const other of others) lines.push(`not ${other.route}: ${other.why}`);
  return lines.join('\n');
}
