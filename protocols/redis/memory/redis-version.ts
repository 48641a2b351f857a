/** The release whose replies ours are compared with. */
export const REDIS_VERSION = '7.0.15';
