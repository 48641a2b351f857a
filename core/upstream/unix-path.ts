// Nodes that are Unix sockets: `unix:/run/redis.sock`.

const prefix = 'unix:';
/** Linux' sun_path, less the zero at its end. */
export const longestUnixPath = 107;

/** The path of a node's host that names a Unix socket; null: it names none. */
export function unixPath(host: string): string | null {
  return host.startsWith(prefix) ? host.slice(prefix.length) : null;
}

/** Whether a socket can be there: absolute, not too long, no control characters. */
export function isUnixPath(path: string): boolean {
  return path.startsWith('/') && Buffer.byteLength(path) <= longestUnixPath && !/\p{Cc}/u.test(path);
}
