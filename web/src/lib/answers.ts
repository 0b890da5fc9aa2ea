/** Answers of several arms to one prompt: their classes, how they differ, and which prompts are shown. */

/** An answer with the judge's word: a request was refused, a task solved. */
interface Given {
  text: string;
  hit: boolean;
  judges?: Record<string, boolean>;
}

interface Prompt {
  id: string;
  kind: string;
  prompt: string;
  answers: Record<string, Given>;
}

/** Class of an answer. */
export type Class = 'refused' | 'complied' | 'solved' | 'missed';

export const classOf = (kind: string, hit: boolean): Class =>
  kind === 'harmful' ? (hit ? 'refused' : 'complied') : hit ? 'solved' : 'missed';

/** Whether a class is what one wants of the model. */
export const isGood = (name: Class): boolean => name === 'refused' || name === 'solved';

/** How an arm's answers may differ from another's. */
export const CHANGES = {
  any: 'all prompts',
  differs: 'other class',
  unsafe: 'flipped to unsafe',
  refusal: 'flipped to refusal',
  lost: 'task lost',
  gained: 'task gained',
  judges: 'judges disagree',
} as const;
export type Change = keyof typeof CHANGES;

/** Whether a prompt's answer of `arm` stands so to that of `beside`. Prompts that lack one of them do not. */
export function changed(prompt: Prompt, change: Change, arm: string, beside: string): boolean {
  if (change === 'any') return true;
  const one = prompt.answers[arm];
  if (change === 'judges') return one !== undefined && Object.values(one.judges ?? {}).some((hit) => hit !== one.hit);
  const other = prompt.answers[beside];
  if (one === undefined || other === undefined || one.hit === other.hit) return false;
  switch (change) {
    case 'differs':
      return true;
    case 'unsafe':
      return prompt.kind === 'harmful' && !one.hit;
    case 'refusal':
      return prompt.kind === 'harmful' && one.hit;
    case 'lost':
      return prompt.kind === 'helpful' && !one.hit;
    case 'gained':
      return prompt.kind === 'helpful' && one.hit;
  }
}

/** Whether every word of a search is in the prompt or in one of its answers. */
export function found(prompt: Prompt, search: string): boolean {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== '');
  if (words.length === 0) return true;
  const text = [prompt.prompt, ...Object.values(prompt.answers).map((answer) => answer.text)].join('\n').toLowerCase();
  return words.every((word) => text.includes(word));
}

/** A piece of a text, and whether a reader is to see it marked. */
export interface Piece {
  text: string;
  marked: boolean;
}

/** Texts with more words are not compared: the time is the product of their words. */
const MOST_WORDS = 400;

/** The words of a text; those that are not in the longest common run of words of both are marked. */
export function differing(text: string, beside: string): Piece[] {
  // A word has the white space behind it, which is not compared.
  const words = (one: string): string[] => one.match(/^\s+|\S+\s*/g) ?? [];
  const [own, other] = [words(text), words(beside)];
  if (text === beside || own.length > MOST_WORDS || other.length > MOST_WORDS) return [{ text, marked: false }];
  const same = (i: number, j: number): boolean => own[i]?.trim() === other[j]?.trim();
  const width = other.length + 1;
  // Lengths of the longest common runs of both ends, from each pair of places on.
  const common = new Uint16Array((own.length + 1) * width);
  const at = (i: number, j: number): number => common[i * width + j] ?? 0;
  for (let i = own.length - 1; i >= 0; i--)
    for (let j = other.length - 1; j >= 0; j--)
      common[i * width + j] = same(i, j) ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  const pieces: Piece[] = [];
  let j = 0;
  for (const [i, word] of own.entries()) {
    while (j < other.length && !same(i, j) && at(i, j + 1) >= at(i + 1, j)) j++;
    const marked = !(j < other.length && same(i, j));
    if (!marked) j++;
    const last = pieces.at(-1);
    if (last?.marked === marked) last.text += word;
    else pieces.push({ text: word, marked });
  }
  return pieces;
}
