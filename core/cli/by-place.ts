/** `file:line:column: …` texts in the order of the file; those without a place first. */
export function byPlace(texts: readonly string[]): string[] {
  const place = (text: string): readonly [number, number] => {
    const [, line = 0, column = 0] = /:(\d+):(\d+): /.exec(text) ?? [];
    return [Number(line), Number(column)];
  };
  return texts.toSorted((a, b) => place(a)[0] - place(b)[0] || place(a)[1] - place(b)[1]);
}
