// Values that name what the composition root puts together. A test overrides one, then resolves the rest.
import type { InjectionToken } from 'tsyringe';
import type { Store } from './config/source.ts';
import type { Loader } from './loader.ts';
import type { RunningPlane } from './local-plane.ts';
import type { Registry } from './registry.ts';

export const REGISTRY: InjectionToken<Registry> = Symbol('Registry');
export const LOADER: InjectionToken<Loader> = Symbol('Loader');
export const PLANE: InjectionToken<RunningPlane> = Symbol('Plane');
export const STORE: InjectionToken<Store> = Symbol('Store');
