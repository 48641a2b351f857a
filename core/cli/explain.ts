// `millrace explain`: which route a connection would take, and why.
import type { ExplainAnswer } from '../inspect.ts';
import type { OperationExplained } from '../protocol.ts';
import { AdminClient, type AdminOptions } from './admin-client.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';

export interface ExplainOptions extends AdminOptions {
  readonly client?: string;
  readonly server?: string;
  readonly sni?: string;
  readonly command?: string;
  readonly json?: boolean;
}

type Answer = ExplainAnswer & { readonly connection: { readonly client: string; readonly server: string; readonly sni: string | null } };

export async function explain(options: ExplainOptions): Promise<ExitCode> {
  try {
    const query = new URLSearchParams(Object.entries({ client: options.client, server: options.server, sni: options.sni, command: options.command })
      .filter((entry): entry is [string, string] => entry[1] !== undefined));
    const answer = await AdminClient.open(options).get(`/apisix/admin/explain?${query.toString()}`) as Answer;
    console.log(options.json === true ? JSON.stringify(answer, null, 2) : textOf(answer));
    return exitCodes.ok;
  } catch (error) {
    console.error(`millrace: ${(error as Error).message}`);
    return exitCodes.invalid;
  }
}

function textOf({ connection, listener, route, protocol, plugins, nodes, others, operation }: Answer): string {
  const { client, server, sni } = connection;
  const lines = [`${client} -> ${server}${sni === null ? '' : ` (${sni})`}`];
  if (listener === null) lines.push('nobody listens there');
  else if (listener.error !== null) lines.push(`nobody listens there: ${listener.error}`);
  lines.push(route === null ? 'no route: the connection is closed' : `route ${route}, protocol ${protocol}`);
  for (const { name, priority, phases } of plugins) lines.push(`  plugin ${name} (${priority}): ${phases.join(', ')}`);
  lines.push(...nodeLines(nodes));
  if (operation !== null) lines.push(...operationLines(operation, route));
  for (const other of others) lines.push(`not ${other.route}: ${other.why}`);
  return lines.join('\n');
}

function nodeLines(nodes: ExplainAnswer['nodes']): string[] {
  return nodes.map(({ address, available, weight }) => `  node ${address}, weight ${weight}${available ? '' : ', left out'}`);
}

function operationLines(operation: OperationExplained, route: string | null): string[] {
  const { keys, treatment, refused, faults, nodes, others } = operation;
  return [
    `${operation.operation}${keys.length === 0 ? '' : ` (${keys.join(', ')})`} ${treatment}`,
    ...(refused === null ? [] : [`  refused: ${refused}`]),
    ...faults.map((fault) => `  fault ${JSON.stringify(fault)}`),
    ...(operation.route === route ? [] : [`  goes to subordinate route ${operation.route}`, ...nodeLines(nodes)]),
    ...others.map((other) => `not ${other.route}: ${other.why}`),
  ];
}
