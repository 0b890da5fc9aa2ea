/** Short names for the JSON of the server. types.ts is made from its description (`npm run types`). */
import type { components } from './types';

type Schemas = components['schemas'];

export type Answers = Schemas['AnswersView'];
export type Arm = Schemas['ArmIndex'];
export type ArmGrid = Schemas['ArmGrid'];
export type ArmRounds = Schemas['ArmRounds'];
export type Conclusion = Schemas['Conclusion'];
export type Effect = Schemas['Effect'];
export type Evidence = Schemas['Evidence'];
export type FederationNode = Schemas['FederationNode'];
export type FederationSummary = Schemas['FederationSummary'];
export type FederationView = Schemas['FederationView'];
export type Lineage = Schemas['Lineage'];
export type Given = Schemas['GivenAnswer'];
export type LogEntries = Schemas['LogEntries'];
export type LogEntry = Schemas['LogEntry'];
export type LogGrowth = Schemas['LogGrowth'];
export type LogPlace = Schemas['LogPlace'];
export type LineageNode = Schemas['Node'];
/** A share with its 95 % Wilson interval. `rate`, `low` and `high` are in [0, 1]. */
export type Measure = Schemas['Share'];
export type NodeHealth = Schemas['NodeHealth'];
export type Prompt = Schemas['Prompt'];
/** The words of a refusal; the server's has a status with them. */
export type Refusal = Pick<Schemas['Problem'], 'error' | 'what' | 'hint'>;
export type RegisteredModule = Schemas['RegisteredModule'];
/** The report's index: its rounds have no clients. */
export type Report = Schemas['ReportIndex'];
export type RoundDetail = Schemas['RoundDetail'];
export type RoundMember = Schemas['RoundMember'];
/** A round as it is in the report, with its clients. */
export type RoundReport = Schemas['RoundReport'];
export type RunEvent = Schemas['Event'];
export type RunState = Schemas['RunState'];
export type RunSummary = Schemas['RunSummary'];
export type Statement = Schemas['Statement'];
export type UpdateView = Schemas['UpdateView'];

/** An entry of a transcript. The server sends a transcript as text: its bytes are what is hashed. */
export interface TranscriptEntry {
  seq: number;
  call: string;
  args: unknown;
  result: unknown;
}
