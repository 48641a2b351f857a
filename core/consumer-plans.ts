// Users with plugins of their own (`consumers`): for each that comes by a route, that route's plan with his plugins in it.
// Made when he first comes, kept while nothing of it changes, retired with the route's plan.
import type { Resource } from './config/resource.ts';
import type { Plan } from './plan.ts';

/** What these plans are made of and by. */
export interface ConsumerSource {
  /** Those that have plugins, by user name; another map after each change of the configuration or of plugins. */
  readonly consumers: () => ReadonlyMap<string, Resource>;
  /** Everything that a plan of this consumer is made of, as text. */
  textOf(consumer: Resource): string;
  /** Never throws: what cannot be set up is reported, and `old` goes on; without one, a plan that refuses. */
  build(base: Plan, consumer: Resource, old: Plan | null): Plan;
}

interface Made {
  readonly plan: Plan;
  readonly text: string;
  /** For which it was found to be the right one. */
  for: ReadonlyMap<string, Resource>;
}

export class ConsumerPlans {
  readonly #base: Plan;
  readonly #source: ConsumerSource;
  readonly #made = new Map<string, Made>();

  constructor(base: Plan, source: ConsumerSource) {
    this.#base = base;
    this.#source = source;
  }

  /** Null: the user has no plugins of his own. */
  for(user: string): Plan | null {
    const consumers = this.#source.consumers();
    const consumer = consumers.get(user);
    if (consumer === undefined) return null;
    const known = this.#made.get(user);
    return known?.for === consumers ? known.plan : this.#renewed(user, consumer, known);
  }

  get plans(): ReadonlyMap<string, Plan> {
    return new Map([...this.#made].map(([user, { plan }]) => [user, plan]));
  }

  /** Retires the plans of those who are no consumers any more. */
  follow(): void {
    const consumers = this.#source.consumers();
    for (const [user, { plan }] of this.#made) {
      if (consumers.has(user)) continue;
      this.#made.delete(user);
      void plan.retire();
    }
  }

  retire(): void {
    for (const { plan } of this.#made.values()) void plan.retire();
    this.#made.clear();
  }

  #renewed(user: string, consumer: Resource, known: Made | undefined): Plan {
    const consumers = this.#source.consumers();
    const text = this.#source.textOf(consumer);
    if (known?.text === text) {
      known.for = consumers;
      return known.plan;
    }
    const plan = this.#source.build(this.#base, consumer, known?.plan ?? null);
    if (known !== undefined && known.plan !== plan) void known.plan.retire();
    this.#made.set(user, { plan, text, for: consumers });
    return plan;
  }
}
