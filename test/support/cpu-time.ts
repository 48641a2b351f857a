/**
 * Milliseconds of processor time that this thread needs for it: what other processes of the machine do is not counted.
 * The kernel may count in ticks of several ms, so times that short cannot be compared.
 */
export function cpuTime(work: () => void): number {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}
