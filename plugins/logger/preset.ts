// What the loggers have in common that are configured as APISIX's plugins of these names are: one sink, its fields at
// the top, the shared ones beside it.
import type { Plugin, Targets } from '../../core/plugin.ts';
import type { JsonSchema } from '../../core/schema.ts';
import { logPlace, type BatchConf, type NamedSink } from './place.ts';
import { batchProperties, checkLogging, formatSchema, loggerMetadataSchema, pendingProperty } from './schema.ts';

export interface PresetConf extends BatchConf {
  readonly log_format?: Readonly<Record<string, unknown>>;
  readonly log_format_extra?: Readonly<Record<string, unknown>>;
  /** Expressions of which one must hold. */
  readonly match?: readonly (readonly unknown[])[];
}

export interface Preset<Conf extends PresetConf> {
  readonly name: string;
  readonly priority: number;
  readonly required: readonly string[];
  readonly properties: Readonly<Record<string, JsonSchema>>;
  check?(conf: Conf, targets: Targets): readonly string[];
  sink(conf: Conf, targets: Targets): NamedSink['sink'];
}

const neverBodies: Readonly<Record<string, JsonSchema>> = {
  include_req_body: { enum: [false], description: 'Accepted when false: a record never carries payload.' },
  include_resp_body: { enum: [false], description: 'Accepted when false: a record never carries payload.' },
};

const sharedProperties: Readonly<Record<string, JsonSchema>> = {
  log_format: formatSchema,
  log_format_extra: { type: 'object', description: 'Fields beside those of the format, written in the same way.' },
  match: {
    type: 'array', maxItems: 20, items: { type: 'array' },
    description: 'Expressions of which one must hold; absent or empty: everything is logged.',
  },
  ...neverBodies,
  ...batchProperties,
  ...pendingProperty,
};

export function presetLogger<Conf extends PresetConf>(preset: Preset<Conf>): Plugin<Conf> {
  const { name, priority, required } = preset;
  return {
    name, priority,
    version: '1.0.0',
    schema: {
      type: 'object', additionalProperties: false, required,
      properties: { ...preset.properties, ...sharedProperties },
    },
    metadataSchema: loggerMetadataSchema,
    check: (conf, { targets }) => [
      ...checkLogging({ log_format: conf.log_format }),
      ...checkLogging({ log_format: conf.log_format_extra }).map((text) => text.replace(/^log_format/, 'log_format_extra')),
      ...(conf.match ?? []).flatMap((rules, i) => checkLogging({ filter: rules }).map((text) => `match[${i}]: ${text}`)),
      ...(preset.check?.(conf, targets) ?? []),
    ],
    setup(conf, context) {
      return logPlace({
        context, per: 'request', format: conf.log_format, extra: conf.log_format_extra, filter: anyOf(conf.match ?? []),
        sample: 1, batch: conf, sinks: [{ name: name.replace(/-logger$/, ''), sink: preset.sink(conf, context.targets) }],
      });
    },
  };
}

/** Several expressions as one; an empty one holds always. */
function anyOf(expressions: readonly (readonly unknown[])[]): readonly unknown[] {
  if (expressions.some((each) => each.length === 0)) return [];
  return expressions.length > 1 ? ['OR', ...expressions] : (expressions[0] ?? []);
}
