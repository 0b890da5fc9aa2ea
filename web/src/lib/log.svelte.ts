import { getEntries, getEntry, getGrowth } from './api';
import { headOf, keepHead, parseHeads, type Heads } from './heads';
import type { LogEntries, LogEntry } from './names';
import { check, proven, type Check } from './verifier';

const HEADS = 'fedseal-checkpoints';
const WITNESSES = 'fedseal-witnesses';
/** Entries that are asked for at a time. */
const PART = 100;

function stored(place: string): string | null {
  try {
    return localStorage.getItem(place);
  } catch {
    // A browser that forbids storage remembers nothing.
    return null;
  }
}
function store(place: string, text: string): void {
  try {
    localStorage.setItem(place, text);
  } catch {
    // As above.
  }
}

/** A log: its head, its entries, and how it stands to what this browser saw of it before. */
export class ShownLog {
  view = $state.raw<LogEntries | null>(null);
  entries = $state.raw<LogEntry[]>([]);
  problem = $state.raw<unknown>(null);
  /** Checks of the checkpoint and its cosignatures. */
  head = $state.raw<Check[] | null>(null);
  /** Checks against an earlier checkpoint. */
  growth = $state.raw<Check[] | null>(null);
  /** Checks of the entry that was opened. */
  opened = $state.raw<{ index: number; checks: Check[] | null } | null>(null);
  /** The checkpoint of this log that this browser saw before; null when it is the first. */
  earlier = $state<string | null>(null);
  witnesses = $state.raw<string[]>([]);
  search = '';

  constructor(readonly run: string) {
    this.witnesses = (stored(WITNESSES) ?? '').split('\n').filter((line) => line !== '');
    void this.find('');
  }

  /** The first entries that have these words. */
  async find(words: string): Promise<void> {
    this.search = words;
    try {
      const view = await getEntries(this.run, words, 0, PART);
      if (this.search !== words) return;
      const first = this.view === null;
      this.view = view;
      this.entries = view.entries;
      this.problem = null;
      if (first) await this.#look();
    } catch (error) {
      this.problem = error;
    }
  }

  /** The entries that follow. */
  async more(): Promise<void> {
    const words = this.search;
    try {
      const view = await getEntries(this.run, words, this.entries.length, PART);
      if (this.search === words) this.entries = [...this.entries, ...view.entries];
    } catch (error) {
      this.problem = error;
    }
  }

  async open(index: number): Promise<void> {
    if (this.opened?.index === index) {
      this.opened = null;
      return;
    }
    this.opened = { index, checks: null };
    try {
      const checks = await check({ entry: await getEntry(this.run, index) });
      if (this.opened?.index === index) this.opened = { index, checks };
    } catch (error) {
      this.problem = error;
    }
  }

  /** With another witness's key, which is kept in this browser. */
  async trust(witness: string): Promise<void> {
    this.witnesses = [...new Set([...this.witnesses, witness.trim()])];
    store(WITNESSES, this.witnesses.join('\n'));
    await this.#check();
  }

  async forget(witness: string): Promise<void> {
    this.witnesses = this.witnesses.filter((other) => other !== witness);
    store(WITNESSES, this.witnesses.join('\n'));
    await this.#check();
  }

  /** Holds the log against an earlier checkpoint of it. */
  async compare(note: string): Promise<void> {
    const text = note.endsWith('\n') ? note : `${note}\n`;
    const old = headOf(text);
    this.growth = null;
    if (old === null || this.view === null) {
      this.growth = [{ claim: 'The earlier checkpoint can be read', holds: false, detail: 'It begins with the name of the log and its size, a line each.' }];
      return;
    }
    if (old.size > this.view.size) {
      this.growth = [{ claim: 'The later log begins with all of the earlier one', holds: false, detail: `The earlier one had ${old.size} entries, this one has ${this.view.size}: it has been cut.` }];
      return;
    }
    try {
      const { checkpoint, proof, key } = await getGrowth(this.run, old.size);
      this.growth = await check({ consistency: { old: text, new: checkpoint, proof, key } });
    } catch (error) {
      this.problem = error;
    }
  }

  async #check(): Promise<void> {
    if (this.view === null) return;
    const { checkpoint, key } = this.view;
    this.head = await check({ checkpoint: { checkpoint, key, witnesses: this.witnesses } });
  }

  /** Holds the log against what was seen last time, and remembers it where nothing speaks against it. */
  async #look(): Promise<void> {
    if (this.view === null) return;
    const { checkpoint, key } = this.view;
    const heads: Heads = parseHeads(stored(HEADS));
    const origin = headOf(checkpoint)?.origin;
    this.earlier = (origin !== undefined && heads[origin]) || null;
    await this.#check();
    const signed = await check({ checkpoint: { checkpoint, key, witnesses: [] } });
    if (this.earlier !== null) await this.compare(this.earlier);
    if (proven(signed) && (this.earlier === null || (this.growth !== null && proven(this.growth)))) store(HEADS, JSON.stringify(keepHead(heads, checkpoint)));
  }
}
