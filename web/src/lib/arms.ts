/** Looks of arms and of kinds of clients: the same colour, dash and mark wherever they appear. */

import type { Effect } from './names';

export interface ArmLook {
  colour: string;
  /** SVG dash array, so that lines differ without colour too. */
  dash: string;
}

const LOOKS: Record<string, ArmLook> = {
  base: { colour: 'var(--arm-base)', dash: '2 3' },
  clean: { colour: 'var(--arm-clean)', dash: '' },
  fedavg: { colour: 'var(--arm-fedavg)', dash: '' },
  median: { colour: 'var(--arm-median)', dash: '6 3' },
  krum: { colour: 'var(--arm-krum)', dash: '2 2 6 2' },
  provenance: { colour: 'var(--arm-provenance)', dash: '' },
  behaviour: { colour: 'var(--arm-behaviour)', dash: '8 3' },
  defended: { colour: 'var(--arm-defended)', dash: '3 3' },
};
const SPARE = ['--arm-median', '--arm-krum', '--arm-behaviour', '--arm-clean', '--arm-fedavg'];

export function armLook(id: string): ArmLook {
  const known = LOOKS[id];
  if (known !== undefined) return known;
  let hash = 0;
  for (const letter of id) hash = (hash * 31 + letter.charCodeAt(0)) % 997;
  return { colour: `var(${SPARE[hash % SPARE.length]})`, dash: '4 2 1 2' };
}

const KINDS: Record<string, string> = {
  benign: 'benign',
  'malicious-gen': 'generates its data',
  'unaligned-data': 'brings its data',
  'poisoned-shard': 'poisoned shard',
  dishonest: 'own attacker',
};

/** What a kind of client does, in two or three words. */
export const kindText = (kind: string): string => KINDS[kind] ?? kind;
/** Kinds whose modules mean no harm (`server/rules/src/attack.rs`). */
const HONEST = new Set(['benign', 'fedprox', 'scaffold', 'lisa', 'text-to-instructions', 'u2s-bm25', 'u2s-perplexity', 'u2s-ngrams', 'u2s-random', 'u2s-zero-shot']);
export const isAttacker = (kind: string): boolean => !HONEST.has(kind);

/** What became of an update. */
export type Outcome = Effect | 'failed';

export const EFFECT_MARK: Record<Outcome, string> = {
  accept: '●',
  'down-weight': '◐',
  quarantine: '‖',
  reject: '✕',
  failed: '–',
};

export const EFFECT_TEXT: Record<Outcome, string> = {
  accept: 'accepted',
  'down-weight': 'down-weighted',
  quarantine: 'quarantined',
  reject: 'rejected',
  failed: 'failed',
};

/** A verdict's effect, or `failed` where there was no update that could be refused. */
export const outcome = (verdict: { effect: Effect; check: string }): Outcome =>
  verdict.effect === 'reject' && verdict.check === 'execution' ? 'failed' : verdict.effect;

/** Whether admission let an update pass and the arm's aggregation rule gave it no weight. */
export const leftOut = (update: { weight?: number | null; verdict?: { effect: Effect } | null }): boolean =>
  update.weight === 0 && (update.verdict?.effect === 'accept' || update.verdict?.effect === 'down-weight');
