// Stand-ins for the registry: one plugin and one protocol that the checks may know.
import type { References } from '../../../core/config/check.ts';
import type { Kind, Value } from '../../../core/config/resource.ts';
import { compileSchema, problem } from '../../../core/schema.ts';

const limitCount = compileSchema({
  type: 'object', required: ['count'], additionalProperties: false,
  properties: { count: { type: 'integer', minimum: 1 }, key: { type: 'string' }, _meta: { type: 'object' } },
});
const redis = compileSchema({
  type: 'object', additionalProperties: false,
  properties: { faults: { type: 'array', items: { type: 'object', required: ['delay'] } } },
});

export function knownThings(resources: Partial<Record<Kind, Readonly<Record<string,
  Value>>>> = {}): References {
  return {
    checkPlugin: (name, conf) => (name === 'limit-count' ? limitCount(conf) : undefined),
    checkMetadata: (name, conf) => (name === 'limit-count' ? limitCount(conf) : undefined),
    checkProtocol: (name, conf) => (name === 'redis' ? redis(conf) : name === 'line' ? [] : undefined),
    checkExpression: (expression) => (JSON.stringify(expression).includes('==') ? [] : [problem([],
      'an operator', 'none')]),
    resource: (kind, id) => resources[kind]?.[id],
  };
}
