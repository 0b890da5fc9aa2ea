/** The fields of an attestation: what each says, and whose word it is. A field without an explanation does not compile. */
import type { Statement } from './names';
import { bytes, count, duration, value } from './format';

type Predicate = Statement['predicate'];

const MEANING: Record<keyof Predicate, string> = {
  client: 'The client for whom the module ran; its key is in the log.',
  round: 'The round of the federation. An update of another round is refused: it cannot be sent again later.',
  seed: 'All random numbers of the execution come from it, so that it can be executed again with the same bits.',
  module: 'SHA-256 of the WebAssembly code that ran. Whose code it is, its signature says.',
  module_signer: 'The key that signed the module: its author, whom the server has to trust.',
  node: 'The key of the node that executed the module and signed this statement. All of it is the word of this node; a replay checks it.',
  base: 'SHA-256 of the frozen model that was tuned.',
  global: "SHA-256 of the adapter that everybody started the round from. It ties the update to the server's state.",
  update: 'SHA-256 of the adapter that was submitted; none after a failure.',
  examples: 'How many examples the module claims; its weight in an average. The server holds it against the shard.',
  data: 'Data that it trained on, as the host saw it: from the registered shard, brought along (literal) or written by a model (generated).',
  data_score: "Mean score of the node's data check over the training examples, from 0 to 1. Only this number leaves the node.",
  lineage: 'The graph of host objects from which the update was made; the host wrote it while it served the calls.',
  transcript: 'Every call that the module made, as a hash chain: its root is what two executions must have in common.',
  limits: 'The bounds that the module ran under. One that is hit ends it.',
  used: 'What it used of them.',
  failure: 'Why the execution ended without an update.',
  engine: "Fingerprint of the training engine: apart from the inputs, the update's bits depend on it.",
  seconds: 'Time of the execution. It is the one field that a replay does not give again.',
};

/** Field, its value in words, its meaning. */
export interface Explained {
  field: string;
  text: string;
  meaning: string;
}

const LIMIT_BYTES = /_bytes$/;

function inWords(predicate: Predicate, field: keyof Predicate): string {
  switch (field) {
    case 'data':
      return predicate.data.map((use) => `${count(use.examples)} ${use.origin} (${use.digest})`).join(', ') || 'none';
    case 'lineage':
      return `${predicate.lineage.nodes.length} objects`;
    case 'transcript':
      return `${count(predicate.transcript.entries)} calls, root ${predicate.transcript.root}`;
    case 'limits':
    case 'used':
      return Object.entries(predicate[field])
        .filter((entry): entry is [string, number] => typeof entry[1] === 'number')
        .map(([name, n]) => `${name.replaceAll('_', ' ').replace(/ bytes$/, '')} ${LIMIT_BYTES.test(name) ? bytes(n) : count(n)}`)
        .join(', ');
    case 'failure':
      return predicate.failure ? `${predicate.failure.reason}: ${predicate.failure.detail}` : 'none';
    case 'seconds':
      return duration(predicate.seconds);
    default:
      return value(predicate[field]);
  }
}

/** Every field of a statement, explained; one of a later version by its value alone. */
export function explained(predicate: Predicate): Explained[] {
  const known = Object.keys(MEANING) as (keyof Predicate)[];
  const rows = known.map((field) => ({ field, text: inWords(predicate, field), meaning: MEANING[field] }));
  const later = Object.entries(predicate).filter(([field]) => !(field in MEANING));
  return [...rows, ...later.map(([field, text]) => ({ field, text: value(text), meaning: '' }))];
}
