import { eventsUrl, getReport } from './api';
import { percent } from './format';
import type { Measure, Report, RunEvent } from './names';

/** The events of a run that a page shows as they come; the last ones only. */
const KEPT_EVENTS = 6;

/**
 * A run's report, kept up to date while the run works: every event of the server's feed makes the
 * page ask for the report again, at most once a second. The feed itself is no evidence and carries
 * no figures; all figures on a page are the report's.
 */
export class LiveReport {
  report = $state.raw<Report | null>(null);
  problem = $state.raw<unknown>(null);
  connected = $state(false);
  lines = $state.raw<string[]>([]);
  /** Somebody wants to see files that were changed. */
  asked = $state(false);
  #source: EventSource | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /** `loaded` is called with every report that comes. */
  constructor(
    readonly run: string,
    private readonly loaded: (report: Report) => void = () => {},
  ) {
    void this.#load();
  }

  /** Whether the report is shown: files that were changed are shown to those who ask for them. */
  get shown(): boolean {
    return this.asked || this.report?.served.evidence.state !== 'changed';
  }

  /** The run's title, or its address while there is none to believe. */
  get title(): string {
    return (this.shown && this.report?.title) || this.run;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#source?.close();
    this.connected = false;
  }

  async #load(): Promise<void> {
    this.#timer = undefined;
    try {
      const report = await getReport(this.run);
      if (this.#closed) return;
      this.report = report;
      this.problem = null;
      this.loaded(report);
      // An interrupted run may be resumed while somebody looks at it.
      const { state } = report.served;
      if (state === 'running' || state === 'interrupted') this.#listen();
      else this.#hush();
    } catch (error) {
      if (this.#closed) return;
      this.problem = error;
      this.#hush();
    }
  }

  #listen(): void {
    if (this.#source !== null) return;
    const source = new EventSource(eventsUrl(this.run));
    source.onopen = () => (this.connected = true);
    // The browser connects again by itself; until then the page says that it is not live.
    source.onerror = () => (this.connected = false);
    source.onmessage = (event: MessageEvent<string>) => {
      this.connected = true;
      const line = readable(event.data);
      if (line !== null && line !== this.lines.at(-1))
        this.lines = [...this.lines, line].slice(-KEPT_EVENTS);
      this.#soon();
    };
    for (const kind of ['stopped', 'end']) source.addEventListener(kind, () => this.#soon());
    this.#source = source;
  }

  #hush(): void {
    this.#source?.close();
    this.#source = null;
    this.connected = false;
  }

  #soon(): void {
    this.#timer ??= setTimeout(() => void this.#load(), 1000);
  }
}

/** An event as one line of text; null where there is none to show. */
function readable(data: string): string | null {
  try {
    return words(JSON.parse(data) as RunEvent);
  } catch {
    return null;
  }
}

/** Of nothing that was asked there is no rate. */
const rate = (share: Measure): string => (share.n === 0 ? 'not measured' : `${percent(share)} %`);

/** Events of a newer server are shown by their type alone. */
function words(event: RunEvent): string | null {
  switch (event.type) {
    case 'progress':
      // The bar says it.
      return null;
    case 'note':
      return event.text;
    case 'update':
      return event.failure
        ? `${event.client}, round ${event.round}: failed (${event.failure})`
        : `${event.client}, round ${event.round}: update ${event.update.slice(0, 12)}`;
    case 'verdict':
      return `${event.arm}, round ${event.round}, ${event.client}: ${event.effect} by ${event.check}: ${event.fact}`;
    case 'round':
      return `${event.arm}, round ${event.round}: ${event.counted} updates counted${event.unchanged ? ', nothing changed' : ''}`;
    case 'evaluated':
      return `${event.arm}, round ${event.round}: safety ${rate(event.safety)}, helpfulness ${rate(event.helpfulness)}`;
    default:
      return typeof event.type === 'string' ? event.type : null;
  }
}
