/** What stands for the address of a client that came by a Unix socket: it has none. */
export const unixClient = 'unix:';

/** `10.0.0.1:6379`, `[::1]:6379`; a Unix socket's name stands for itself. */
export function endpoint(address: string, port: number): string {
  if (address.startsWith(unixClient)) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
