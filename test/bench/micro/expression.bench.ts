// What a condition (`filter`, `vars`) costs per request. Aim: below 50 ns for one plain rule.
import { compileExpression } from '../../../core/expression.ts';
import { LineRequest } from '../../support/line-request.ts';
import { calls, nanoseconds } from '../nanoseconds.ts';

const request = new LineRequest('get user:1234').finish('+ok', 20);

await nanoseconds('expression', {
  'command == get': judging([['command', '==', 'get']]),
  'command in four': judging([['command', 'in', ['set', 'del', 'incr', 'get']]]),
  'rpc_time >= 0.01': judging([['rpc_time', '>=', 0.01]]),
  'three rules, all hold': judging([['command', '==', 'get'], ['bytes_in', '>', 5], ['rpc_time', '<', 1]]),
  'key matches ^user:[0-9]+$': judging([['key', '~~', '^user:[0-9]+$']]),
  'remote_addr in two networks': judging([['remote_addr', 'ipmatch', ['10.0.0.0/8', '127.0.0.0/8']]]),
});

function judging(rules: unknown): () => number {
  const holds = compileExpression(rules);
  if (!holds(request)) throw new Error(`${JSON.stringify(rules)} does not hold`);
  return () => {
    let held = 0;
    for (let i = 0; i < calls; i++) if (holds(request)) held++;
    return held;
  };
}
