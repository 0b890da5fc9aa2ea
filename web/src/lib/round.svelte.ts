import { address } from './address.svelte';
import { getReport, getRound } from './api';
import type { Report, RoundDetail } from './names';

/** A round of an arm. The address has its number, so that a link leads to it and playing leaves one entry. */
export class ShownRound {
  view = $state.raw<RoundDetail | null>(null);
  report = $state.raw<Report | null>(null);
  problem = $state.raw<unknown>(null);
  playing = $state(false);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(
    readonly run: string,
    readonly arm: string,
  ) {
    void this.show(Number(address.get('round') ?? 0));
    void getReport(run).then(
      (report) => (this.report = report),
      () => {
        // The round stands for itself; without a report there are no other arms to go to.
      },
    );
  }

  get title(): string {
    return `Round ${this.view?.round ?? address.get('round') ?? 0} of ${this.arm} · ${this.run}`;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async show(round: number): Promise<void> {
    clearTimeout(this.#timer);
    try {
      const view = await getRound(this.run, this.arm, round);
      if (this.#closed) return;
      this.view = view;
      this.problem = null;
      if (String(view.round) !== address.get('round')) address.set({ round: String(view.round) });
      if (this.playing && view.round + 1 < view.rounds) this.#timer = setTimeout(() => void this.show(view.round + 1), PAUSE);
      else this.playing = false;
    } catch (error) {
      this.problem = error;
      this.playing = false;
    }
  }

  /** Plays the rounds from this one on, or from the first after the last. */
  play(): void {
    this.playing = !this.playing;
    clearTimeout(this.#timer);
    if (!this.playing || this.view === null) return;
    const { round, rounds } = this.view;
    void this.show(round + 1 < rounds ? round + 1 : 0);
  }
}

/** How long a round is shown while rounds are played. */
const PAUSE = 1100;
