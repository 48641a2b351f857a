// What is measured: a proxy in front of the stand-in, alone on its processor.
import type { Child } from './children.ts';

export interface Running {
  readonly child: Child;
  readonly port: number;
}

export interface Proxy {
  readonly name: string;
  start(upstream: number, cpu: number): Promise<Running>;
}
