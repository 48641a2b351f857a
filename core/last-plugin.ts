// Which plugin's hook ran last, in memory that the main thread can read: when a worker hangs, its supervisor can say
// in whose code. One store per hook call.
export type LastPlugin = Int32Array;

let cell: LastPlugin = new Int32Array(1);
let told: (mark: number, name: string) => void = () => undefined;
let marks = 0;

/** Another thread reads `shared`, and is told what each mark stands for before it is stored. */
export function watchLastPlugin(shared: SharedArrayBuffer, tell: (mark: number, name: string) => void): void {
  cell = new Int32Array(shared);
  told = tell;
}

/** A mark for one place: what `ran` is called with. */
export function markOf(plugin: string, route: string): number {
  const mark = ++marks;
  told(mark, `${plugin} of route ${route}`);
  return mark;
}

export function ran(mark: number): void {
  cell[0] = mark;
}
