// The seam for whoever knows where a service's nodes are: DNS, a file, a registry of one's own.

export interface Service {
  /** `service_name` of an upstream. */
  readonly name: string;
  /** `discovery_args`. */
  readonly args: Readonly<Record<string, string>>;
  /** For nodes that name no port. */
  readonly defaultPort: number;
}

export interface Discovery {
  /**
   * Tells the nodes of a service now or later, and whenever they change, until closed; in either form of an upstream's
   * `nodes`. What it told last stays in use while it tells nothing; an empty list is a service without nodes.
   */
  watch(service: Service, told: (nodes: unknown) => void, failed: (cause: unknown) => void): { close(): void };
  /** What it knows, for who looks into it. */
  dump?(): unknown;
  close?(): void;
}
