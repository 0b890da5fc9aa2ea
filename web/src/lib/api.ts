import type { Answers, ArmGrid, ArmRounds, FederationSummary, FederationView, LogEntries, LogGrowth, LogPlace, Refusal, RegisteredModule, Report, RoundDetail, RunSummary, UpdateView } from './names';

/** A refusal of the server, or a server that could not be reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly refusal: Refusal,
  ) {
    super(refusal.error);
  }
}

/** What a server says of a run that has begun and has no report yet (server/app/src/http/runs.rs). */
const NOT_YET = 'has not been written yet';

/** Whether another try may end well: the server is away or busy, or the run has not come as far as a report. */
export function passes(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  const { status, refusal } = error;
  return [0, 408, 429, 503].includes(status) || (status === 404 && refusal.what.includes(NOT_YET));
}

/** Like JSON.parse, but keeps integers that a double cannot hold (64-bit seeds) as their digits. */
export function parseJson(text: string): unknown {
  const reviver = (_key: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)
      ? (context?.source ?? value)
      : value;
  return JSON.parse(text, reviver as (key: string, value: unknown) => unknown);
}

function isRefusal(value: unknown): value is Refusal {
  return typeof value === 'object' && value !== null && 'error' in value && 'hint' in value;
}

async function call<T>(path: string, init?: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new ApiError(0, {
      error: 'The server does not answer.',
      what: path,
      hint: 'Is `fedseal serve` still running?',
    });
  }
  const text = await response.text();
  let body: unknown;
  try {
    body = parseJson(text);
  } catch {
    body = undefined;
  }
  if (response.ok && body !== undefined) return body as T;
  throw new ApiError(
    response.status,
    isRefusal(body)
      ? body
      : {
          error: `The server answered ${response.status}${response.ok ? ' with something that is not JSON' : ''}.`,
          what: path,
          hint: 'See the log of `fedseal serve`.',
        },
  );
}

const part = encodeURIComponent;

export const listRuns = () => call<RunSummary[]>('/api/runs');
/** The report without the clients of its rounds: those come by arm and round. */
export const getReport = (run: string) => call<Report>(`/api/runs/${part(run)}/index`);
export const getGrid = (run: string, arm: string) => call<ArmGrid>(`/api/runs/${part(run)}/arms/${part(arm)}/grid`);
export const getRounds = (run: string, arm: string, from: number, count: number) =>
  call<ArmRounds>(`/api/runs/${part(run)}/arms/${part(arm)}/rounds?from=${from}&count=${count}`);
export const getAnswers = (run: string, round: string | null) =>
  call<Answers>(`/api/runs/${part(run)}/answers${round === null ? '' : `?round=${part(round)}`}`);
export const getUpdate = (run: string, update: string) =>
  call<UpdateView>(`/api/runs/${part(run)}/updates/${part(update)}`);
export const envelopeUrl = (run: string, update: string) =>
  `/api/runs/${part(run)}/updates/${part(update)}/envelope`;
export const bundleUrl = (run: string, update: string) =>
  `/api/runs/${part(run)}/updates/${part(update)}/bundle`;
export const getRound = (run: string, arm: string, round: number) =>
  call<RoundDetail>(`/api/runs/${part(run)}/arms/${part(arm)}/rounds/${round}`);
export const getEntries = (run: string, search: string, from: number, count: number) =>
  call<LogEntries>(`/api/runs/${part(run)}/entries?from=${from}&count=${count}${search === '' ? '' : `&search=${part(search)}`}`);
export const getEntry = (run: string, index: number) => call<LogPlace>(`/api/runs/${part(run)}/entries/${index}`);
export const getGrowth = (run: string, old: number) => call<LogGrowth>(`/api/runs/${part(run)}/growth?old=${old}`);
export const logUrl = (run: string, path: string) => `/api/runs/${part(run)}/log/${path}`;
export const eventsUrl = (run: string, from: string) => `/api/runs/${part(run)}/events${from === '' ? '' : `?from=${part(from)}`}`;
export const listFederations = () => call<FederationSummary[]>('/api/federations');
export const getFederation = (federation: string, search: string, from: number, count: number) =>
  call<FederationView>(`/api/federations/${part(federation)}?from=${from}&count=${count}${search === '' ? '' : `&search=${part(search)}`}`);
export const listModules = () => call<RegisteredModule[]>('/api/modules');

export const submitModule = (module: string, envelope: unknown) =>
  call<RegisteredModule>('/api/modules', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ module, envelope }),
  });
