import { address } from './address.svelte';
import { getAnswers, getFederation, getReport, getUpdate, listFederations, listModules, listRuns } from './api';
import type { Answers, FederationSummary, FederationView, RegisteredModule, Report, RunSummary, UpdateView } from './names';
import { LiveReport } from './report.svelte';
import { check, type Check } from './verifier';

/** How often what goes on is asked for again: it appears without a reload. */
const AGAIN = 5000;

/** Data that is asked for again and again while its page is open. */
class Repeated<T> {
  found = $state.raw<T | null>(null);
  problem = $state.raw<unknown>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  /** Counts questions: the answer to an earlier one does not take the place of a later one's. */
  #asked = 0;

  constructor(readonly ask: () => Promise<T>) {
    void this.again();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** Asks now, and from now on as often as before. */
  async again(): Promise<void> {
    clearTimeout(this.#timer);
    const asked = ++this.#asked;
    try {
      const found = await this.ask();
      if (asked !== this.#asked) return;
      this.found = found;
      this.problem = null;
    } catch (error) {
      if (asked !== this.#asked) return;
      this.problem = error;
    }
    if (!this.#closed) this.#timer = setTimeout(() => void this.again(), AGAIN);
  }
}

/** The runs of the server. */
export class RunList extends Repeated<RunSummary[]> {
  constructor() {
    super(listRuns);
  }

  get runs(): RunSummary[] | null {
    return this.found;
  }
}

/** The federations that the server coordinates. */
export class FederationList extends Repeated<FederationSummary[]> {
  constructor() {
    super(listFederations);
  }
}

/** Nodes of a federation that are shown at once. */
export const NODES = 100;

/** A federation, with the part of its nodes that the address names. */
export class ShownFederation extends Repeated<FederationView> {
  constructor(readonly federation: string) {
    super(() => getFederation(federation, address.get('q') ?? '', ShownFederation.from(), NODES));
  }

  /** Place of the first node that is shown. */
  static from(): number {
    const from = Number(address.get('from') ?? '0');
    return Number.isSafeInteger(from) && from > 0 ? from : 0;
  }
}

/** Every arm's answers, and the report that says how far they can be believed. */
export class ShownAnswers {
  view = $state.raw<Answers | null>(null);
  problem = $state.raw<unknown>(null);
  readonly live: LiveReport;
  /** Arms and round whose answers are shown. */
  #shown = '';

  constructor(readonly run: string) {
    // A run that goes on has new answers when another arm is measured.
    this.live = new LiveReport(run, (report) =>
      void this.load(report.arms.filter((arm) => arm.safety).map((arm) => arm.id).join(' ')),
    );
  }

  close(): void {
    this.live.close();
  }

  async load(arms: string): Promise<void> {
    const round = address.get('round');
    const wanted = `${round ?? ''} ${arms}`;
    if (wanted === this.#shown) return;
    this.#shown = wanted;
    try {
      this.view = await getAnswers(this.run, round);
      this.problem = null;
    } catch (error) {
      this.problem = error;
      this.#shown = '';
    }
  }
}

/** One update, and what the browser finds when it checks it. */
export class ShownUpdate {
  view = $state.raw<UpdateView | null>(null);
  checks = $state.raw<Check[] | null>(null);
  problem = $state.raw<unknown>(null);
  readonly title: string;

  constructor(run: string, update: string) {
    this.title = `Update ${update.slice(0, 12)} · ${run}`;
    void this.#load(run, update);
  }

  async #load(run: string, update: string): Promise<void> {
    try {
      this.view = await getUpdate(run, update);
      const { envelope, transcript, log: place } = this.view;
      this.checks = await check({ update: { update: this.view.update, envelope, transcript, place } });
    } catch (error) {
      this.problem = error;
    }
  }
}

/** Reports of several runs, which the address names; the first is what the others are compared with. */
export class Compared {
  reports = $state.raw<Report[] | null>(null);
  problem = $state.raw<unknown>(null);
  readonly runs = [...new Set((address.get('runs') ?? '').split(',').filter((run) => run !== ''))];

  constructor() {
    void this.#load();
  }

  get title(): string {
    return this.runs.length === 0 ? 'Compare' : `Compare ${this.runs.join(', ')}`;
  }

  async #load(): Promise<void> {
    try {
      this.reports = await Promise.all(this.runs.map((run) => getReport(run)));
    } catch (error) {
      this.problem = error;
    }
  }
}

/** The modules that were submitted to the server. */
export class ModuleList {
  modules = $state.raw<RegisteredModule[] | null>(null);
  problem = $state.raw<unknown>(null);

  constructor() {
    void this.load();
  }

  async load(): Promise<void> {
    try {
      this.modules = await listModules();
      this.problem = null;
    } catch (error) {
      this.problem = error;
    }
  }
}
