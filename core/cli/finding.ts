/** What `millrace doctor` says of one thing. */
export interface Finding { readonly level: 'ok' | 'warn' | 'bad'; readonly text: string }

export const ok = (text: string): Finding => ({ level: 'ok', text });
export const warn = (text: string): Finding => ({ level: 'warn', text });
export const bad = (text: string): Finding => ({ level: 'bad', text });
