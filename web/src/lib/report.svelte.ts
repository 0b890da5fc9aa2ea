import { eventsUrl, getReport, passes } from './api';
import { percent } from './format';
import type { Measure, Report, RunEvent } from './names';

/** The events of a run that a page shows as they come; the last ones only. */
const KEPT_EVENTS = 6;
/** How long until a server that is not there is asked again. */
const AGAIN = 3000;

/**
 * A run's report, kept up to date while the run works: every event of the server's feed makes the
 * page ask for the report again, at most once a second. The feed itself is no evidence and carries
 * no figures; all figures on a page are the report's.
 */
export class LiveReport {
  report = $state.raw<Report | null>(null);
  problem = $state.raw<unknown>(null);
  connected = $state(false);
  /** The feed was there, and is not any more. */
  lost = $state(false);
  lines = $state.raw<string[]>([]);
  /** Somebody wants to see files that were changed. */
  asked = $state(false);
  /** When the server was last heard of; pages say so while it is not there. */
  heard = $state.raw(new Date());
  /** Somebody has to ask for events again later: the browser has given up. */
  #later: ReturnType<typeof setTimeout> | undefined;
  /** Place of the last event, from which another feed goes on. */
  #place = '';
  #source: EventSource | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /** `loaded` is called with every report that comes. */
  constructor(
    readonly run: string,
    private readonly loaded: (report: Report) => void = () => {},
  ) {
    void this.#load();
    // After sleep a connection may look alive that is not.
    document.addEventListener('visibilitychange', this.#woken);
  }

  #woken = (): void => {
    if (!document.hidden && this.#source !== null) this.#soon();
  };

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
    this.#hush();
    document.removeEventListener('visibilitychange', this.#woken);
  }

  async #load(): Promise<void> {
    this.#timer = undefined;
    try {
      const report = await getReport(this.run);
      if (this.#closed) return;
      this.report = report;
      this.problem = null;
      this.heard = new Date();
      this.loaded(report);
      // An interrupted run may be resumed while somebody looks at it.
      const { state, evidence } = report.served;
      if (state === 'running' || state === 'interrupted') this.#listen();
      else this.#hush();
      // The server checks a large log while its report is read.
      if (evidence.state === 'checking') this.#timer ??= setTimeout(() => void this.#load(), AGAIN);
    } catch (error) {
      if (this.#closed) return;
      this.problem = error;
      // A server that starts again goes on with the run; what was shown stays, with its age. Whoever comes before
      // the first report sees it when it is there.
      const live = this.report?.served.state === 'running';
      if (live || (this.report === null && passes(error))) this.#timer = setTimeout(() => void this.#load(), AGAIN);
      else this.#hush();
    }
  }

  #listen(): void {
    if (this.#source !== null) return;
    const source = new EventSource(eventsUrl(this.run, this.#place));
    source.onopen = () => {
      this.connected = true;
      this.lost = false;
    };
    // The browser connects again by itself; until then the page says that it is not live.
    source.onerror = () => {
      this.connected = false;
      this.lost = true;
      if (source.readyState !== EventSource.CLOSED) return;
      this.#source = null;
      clearTimeout(this.#later);
      this.#later = setTimeout(() => this.#listen(), AGAIN);
    };
    source.onmessage = (event: MessageEvent<string>) => {
      this.connected = true;
      this.heard = new Date();
      this.#place = event.lastEventId;
      const line = readable(event.data);
      if (line !== null && line !== this.lines.at(-1))
        this.lines = [...this.lines, line].slice(-KEPT_EVENTS);
      this.#soon();
    };
    for (const kind of ['stopped', 'end']) source.addEventListener(kind, () => this.#soon());
    this.#source = source;
  }

  #hush(): void {
    clearTimeout(this.#later);
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
    case 'said':
      return `${event.client}, round ${event.round}${event.arms.length > 0 ? `, ${event.arms.join(', ')}` : ''}: its module says ${event.lines.length === 1 ? '' : `${event.lines.length} lines, the last `}“${event.lines.at(-1) ?? ''}”`;
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
