/** The JSON that the server sends. `Report` is `fedseal_federation::report::Report`. */

/** A share with its 95 % Wilson interval. `rate`, `low` and `high` are in [0, 1]. */
export interface Measure {
  hits: number;
  n: number;
  rate: number;
  low: number;
  high: number;
}

export type Effect = 'accept' | 'down-weight' | 'quarantine' | 'reject';

export interface Verdict {
  effect: Effect;
  check: string;
  fact: string;
}

export interface RoundClient {
  client: string;
  kind: string;
  module: string;
  module_name: string;
  /** null while the round is open. */
  weight: number | null;
  verdict: Verdict | null;
  /** Digest of the attestation's envelope: the update's id. */
  update: string | null;
  examples: number;
}

export interface RoundReport {
  round: number;
  global: string;
  learning_rate: number;
  safety: Measure | null;
  helpfulness: Measure | null;
  /** The run's other measures, by name. */
  measures?: Record<string, Measure>;
  /** It ended with the global adapter that it began with. */
  unchanged?: boolean;
  clients: RoundClient[];
}

export interface Arm {
  id: string;
  title: string;
  kind: 'base' | 'federated' | 'defended';
  rule: string | null;
  safety: Measure | null;
  helpfulness: Measure | null;
  /** The run's other measures, by name. */
  measures?: Record<string, Measure>;
  final_adapter: string | null;
  rounds: RoundReport[];
}

export interface Progress {
  done: number;
  total: number;
  label: string;
}

export interface KindCount {
  arm: string;
  kind: string;
  accepted: number;
  refused: number;
  /** Updates that do not exist; in reports from before they were counted apart `refused` holds them. */
  failed?: number;
}

export interface SideBySide {
  prompt: string;
  kind: 'harmful' | 'helpful';
  answers: Record<string, string>;
}

/** `interrupted`: not finished, and nobody is working on it. */
export type RunState = 'running' | 'interrupted' | 'finished' | 'failed';

/** A log's signed head. The root is in hex. */
export interface LogHead {
  origin: string;
  size: number;
  root: string;
  checkpoint: string;
}

/** What the server found when it held a run's files against its log. */
export type Evidence =
  /** Plan, experiment and report are those that the log names, and the log holds. */
  | { state: 'verified'; log: LogHead }
  /** The run is being worked on; its report is a draft. */
  | { state: 'live'; log: LogHead }
  /** Changed since it was logged: the first such item, and what is wrong with it. */
  | { state: 'changed'; first: string; problem: string }
  | { state: 'unchecked'; problem: string; log?: LogHead };

/** What the server says about a run, whatever its report says. */
export interface Served {
  /** The run's address. */
  run: string;
  /** null where there is no report. */
  state: RunState | null;
  evidence: Evidence;
}

/** A run's report.json as it lies there, with the server's words in `served`. */
export interface Report {
  served: Served;
  run: string;
  title: string;
  state: RunState;
  progress: Progress;
  /** Why it failed, where it did. */
  error?: string;
  started: string;
  seconds: number;
  /** MiB. */
  peak_mb: number;
  seed?: number | string;
  /** What the bits depend on. */
  engine?: string;
  experiment: Record<string, unknown>;
  base: { digest: string; name: string };
  node: string;
  /** The log when the report was written, before its last entries. */
  log: { size: number; root: string; checkpoint: string };
  /** Measures beyond safety and helpfulness, with their headings. */
  measures?: { name: string; title: string }[];
  arms: Arm[];
  /** No update had weight in any round: every arm's adapter is the first one. */
  unchanged?: boolean;
  verdicts: KindCount[];
  defence?: DefenceData[];
  side_by_side: SideBySide[];
}

/** What the defence of an arm worked with. Its counts stand beside the other keys. */
export interface DefenceData {
  arm: string;
  /** Left out for the post-hoc one. */
  defence?: string;
  data: string;
  [count: string]: string | number | undefined;
}

/** A run in the list; null where its report does not say. */
export interface RunSummary extends Served {
  title: string | null;
  progress: Progress | null;
  started: string | null;
  seconds: number | null;
  base: string | null;
  updates: number;
  /** Final safety by arm id, for the arms that have one; empty where a file was changed. */
  safety: Record<string, Measure>;
  /** Set when there is no report, or none that can be read. */
  error?: string;
}

export interface LineageNode {
  id: number;
  kind: string;
  inputs: number[];
  digest?: string | null;
  count?: number | null;
  params?: Record<string, unknown>;
}

export interface Lineage {
  nodes: LineageNode[];
  output?: number | null;
}

export interface UpdatePredicate {
  client: string;
  round: number;
  seed: number | string;
  module: string;
  module_signer: string;
  node: string;
  base: string;
  global: string;
  update?: string | null;
  examples: number;
  data: { origin: string; digest: string; examples: number }[];
  data_score?: number | null;
  lineage: Lineage;
  transcript: { root: string; entries: number; blob: string };
  limits: Record<string, number>;
  used: Record<string, number>;
  failure?: { reason: string; detail: string } | null;
  engine: string;
  seconds: number;
}

export interface Statement {
  _type: string;
  subject: { name: string; digest: Record<string, string> }[];
  predicateType: string;
  predicate: UpdatePredicate;
}

export interface TranscriptEntry {
  seq: number;
  call: string;
  args: unknown;
  result: unknown;
}

export interface UpdateView {
  run: string;
  update: string;
  /** The envelope's bytes as text; their SHA-256 is the update's id. */
  envelope: string;
  statement: Statement;
  /** The transcript's canonical bytes as text. */
  transcript: string;
  module_name: string | null;
  client_kind: string | null;
  /** One for every arm that saw this update. */
  verdicts: (Verdict & { arm: string; round: number; weight: number })[];
  log: {
    index: number;
    /** The entry's canonical bytes as text. */
    entry: string;
    size: number;
    proof: string[];
    checkpoint: string;
    /** The log's public key, hex. */
    key: string;
  };
}

export interface RegisteredModule {
  digest: string;
  name: string;
  signer: string;
  signer_name?: string | null;
  created: string;
}

/** How the server says no. `what` names the thing, `hint` says what to do. */
export interface Refusal {
  error: string;
  what: string;
  hint: string;
}
