/** What a span will say, before there is one: plain values, so that nothing of the SDK runs while a request is answered. */
export interface SpanFacts {
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly start: number;
  readonly end: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  /** Why the request failed; null: it did not. */
  readonly failure: string | null;
}
