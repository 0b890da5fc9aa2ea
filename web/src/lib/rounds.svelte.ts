import { getGrid, getRounds } from './api';
import type { Arm, ArmGrid, RoundReport } from './names';

/** An arm with at most so many rounds is shown whole. */
const WHOLE = 60;
/** Rounds of another arm that are shown at a time with their clients, beside an overview of all. */
const WINDOW = 30;

/** Rounds that are shown at a time of so many. */
export const windowOf = (rounds: number): number => (rounds <= WHOLE ? rounds : WINDOW);

/** Some rounds of an arm with their clients. They stay until those that are asked for next have come. */
export class ShownRounds {
  /** The arm that they are of. */
  arm = $state.raw<Arm | null>(null);
  rounds = $state.raw<RoundReport[]>([]);
  problem = $state.raw<unknown>(null);
  #wanted = '';

  /** Asks for rounds of a version of the report. The server sends them in parts. */
  async load(run: string, arm: Arm, from: number, version: string): Promise<void> {
    const wanted = JSON.stringify([run, arm.id, from, version]);
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    const count = Math.min(windowOf(arm.rounds.length), arm.rounds.length - from);
    try {
      const rounds: RoundReport[] = [];
      while (rounds.length < count) {
        const part = await getRounds(run, arm.id, from + rounds.length, count - rounds.length);
        if (this.#wanted !== wanted) return;
        if (part.rounds.length === 0) break;
        rounds.push(...part.rounds);
      }
      this.arm = arm;
      this.rounds = rounds;
      this.problem = null;
    } catch (error) {
      if (this.#wanted !== wanted) return;
      this.problem = error;
      this.#wanted = '';
    }
  }
}

/** What became of every update of an arm. */
export class ShownGrid {
  view = $state.raw<ArmGrid | null>(null);
  problem = $state.raw<unknown>(null);
  #wanted = '';

  /** Asks for the grid of an arm in a version of the report. */
  async load(run: string, arm: string, version: string): Promise<void> {
    const wanted = JSON.stringify([run, arm, version]);
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    try {
      const view = await getGrid(run, arm);
      if (this.#wanted !== wanted) return;
      this.view = view;
      this.problem = null;
    } catch (error) {
      if (this.#wanted !== wanted) return;
      this.problem = error;
      this.#wanted = '';
    }
  }
}
