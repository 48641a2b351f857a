// Glob patterns of KEYS, SCAN, PSUBSCRIBE and CONFIG GET: Redis' stringmatchlen.

/** Tells whether the whole text matches. Both are latin1. */
export function globMatches(pattern: string, text: string): boolean {
  return match(pattern, 0, text, 0) === 'yes';
}

/**
 * 'never': no later start of the same text can match either; spares patterns with many stars exponential
 * time.
 */
type Outcome = 'yes' | 'no' | 'never';

function match(pattern: string, patternStart: number, text: string, textStart: number): Outcome {
  let p = patternStart;
  let t = textStart;
  while (p < pattern.length && t < text.length) {
    const char = pattern[p];
    if (char === '*') return matchStar(pattern, p, text, t);
    if (char === '[') {
      const group = matchClass(pattern, p + 1, text.charCodeAt(t));
      if (!group.matches) return 'no';
      p = group.end;
    } else if (char !== '?') {
      if (char === '\\' && p + 1 < pattern.length) p++;
      if (pattern[p] !== text[t]) return 'no';
    }
    p++;
    t++;
  }
  if (t === text.length) while (pattern[p] === '*') p++;
  return p >= pattern.length && t === text.length ? 'yes' : 'no';
}

function matchStar(pattern: string, star: number, text: string, from: number): Outcome {
  let p = star;
  while (pattern[p + 1] === '*') p++;
  if (p + 1 === pattern.length) return 'yes';
  for (let t = from; t < text.length; t++) {
    const outcome = match(pattern, p + 1, text, t);
    if (outcome !== 'no') return outcome;
  }
  return 'never';
}

/** `start` is behind the bracket; `end` is the closing one, or the last character when it is missing. */
function matchClass(pattern: string, start: number, char: number): { matches: boolean; end: number } {
  let p = start;
  const negated = pattern[p] === '^';
  if (negated) p++;
  let matches = false;
  for (; ; p++) {
    if (p >= pattern.length) return { matches: matches !== negated, end: pattern.length - 1 };
    if (pattern[p] === ']') return { matches: matches !== negated, end: p };
    if (pattern[p] === '\\' && p + 1 < pattern.length) {
      p++;
      if (pattern.charCodeAt(p) === char) matches = true;
    } else if (pattern[p + 1] === '-' && p + 2 < pattern.length) {
      const a = pattern.charCodeAt(p);
      const b = pattern.charCodeAt(p + 2);
      p += 2;
      if (char >= Math.min(a, b) && char <= Math.max(a, b)) matches = true;
    } else if (pattern.charCodeAt(p) === char) {
      matches = true;
    }
  }
}
