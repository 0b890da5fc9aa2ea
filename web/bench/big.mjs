// A run that is too large to be trained for a measurement, as a folder that `fedseal serve` reads:
// `node bench/big.mjs DIR ROUNDS CLIENTS ARMS`. Every client is drawn in every round of every arm, and every round
// is measured. Numbers are drawn from a fixed seed. Its log has the run's opening, the report and the end, signed
// and proved; a trained run's has its updates too, so pages of single updates are not there.
import { once } from 'node:events';
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import { canonical, checkpointOf, leaf, node, rootOf, sha, wilson } from '../fixtures/make.mjs';

const [dir, rounds, clients, arms] = [process.argv[2], ...process.argv.slice(3, 6).map(Number)];
if (!dir || !(rounds > 1) || !(clients > 1) || !(arms > 1)) throw new Error('node bench/big.mjs DIR ROUNDS CLIENTS ARMS, each number above 1');
const hex = (text) => sha(text).toString('hex');
const malicious = Math.ceil(clients / 10);
const ARMS = ['clean', 'fedavg', 'median', 'krum', 'provenance', 'behaviour', 'trimmed', 'bulyan', 'rfa', 'norm'];
const armOf = (at) => ARMS[at] ?? `arm-${at}`;
const some = hex('some');
const origin = `fedseal.example/${basename(dir)}`;
const created = '2026-01-02T03:04:05Z';
let state = 11;
const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
const measure = (level) => wilson(Math.round(240 * Math.min(1, Math.max(0, level + 0.04 * (random() - 0.5)))), 240);

mkdirSync(join(dir, 'log/tile/0/000.p'), { recursive: true });
mkdirSync(join(dir, 'log/tile/entries/000.p'), { recursive: true });
mkdirSync(join(dir, 'blobs'), { recursive: true });
const experiment = `title = "Many rounds"\narms = [${Array.from({ length: arms }, (_, at) => `"${armOf(at)}"`).join(', ')}]\n`;
writeFileSync(join(dir, 'experiment.toml'), experiment);
const plan = canonical({
  format: 1, run: basename(dir), created, seed: 42, origin, node: node.toString('hex'), authors: { keys: [] },
  experiment: hex(experiment), base: some, base_name: 'embedded', engine: 'none: made by a script', initial: some,
  modules: [], clients: [], canaries: some, evaluation: some,
});
writeFileSync(join(dir, 'run.json'), plan);

const out = createWriteStream(join(dir, 'report.json'));
const hash = createHash('sha256');
async function write(text) {
  hash.update(text);
  if (!out.write(text)) await once(out, 'drain');
}

/** What became of an attacker's update in an arm. */
function judged(arm, attacks) {
  if (attacks && arm === 'provenance') return ['reject', 'literal-share', '48 of 64 examples were literal; at most 0 % allowed'];
  if (attacks && arm === 'behaviour') return ['reject', 'canaries', 'refusal log-odds fell by 3.2 on canary prompts; at most 1.0 allowed'];
  return ['accept', 'all', 'signature, round, global adapter, shape, finite values and norm are as they must be'];
}

function clientOf(arm, round, at) {
  const attacks = arm !== 'clean' && at < malicious;
  const [effect, check, fact] = judged(arm, attacks);
  const left = effect === 'accept' && attacks && arm === 'krum';
  const weight = effect === 'accept' && !left ? 1 / clients : 0;
  const name = attacks ? 'unaligned-data' : 'benign';
  return `{"client":"client-${String(at).padStart(3, '0')}","examples":64,"kind":"${name}","module":"${attacks ? some : hex('benign')}","module_name":"${name}","update":"${hex(`${arm} ${round} ${at}`)}","verdict":{"check":"${check}","effect":"${effect}","fact":"${fact}"},"weight":${weight}}`;
}

await write('{"arms":[');
for (let a = 0; a < arms; a++) {
  const arm = armOf(a);
  const level = arm === 'clean' ? 0.93 : ['provenance', 'behaviour'].includes(arm) ? 0.9 : 0.2 + 0.05 * (a % 5);
  await write(`${a > 0 ? ',' : ''}{"final_adapter":"${hex(`final ${arm}`)}","helpfulness":${canonical(measure(0.85))},"id":"${arm}","kind":"federated","rounds":[`);
  for (let round = 0; round < rounds; round++) {
    const share = Math.sqrt((round + 1) / rounds);
    const members = Array.from({ length: clients }, (_, at) => clientOf(arm, round, at)).join(',');
    const [safety, helpfulness] = [measure(0.5 + (level - 0.5) * share), measure(0.3 + 0.55 * share)].map(canonical);
    await write(`${round > 0 ? ',' : ''}{"clients":[${members}],"global":"${hex(`global ${arm} ${round}`)}","helpfulness":${helpfulness},"learning_rate":0.002,"round":${round},"safety":${safety}}`);
  }
  await write(`],"rule":"${arm === 'clean' || a > 3 ? 'fedavg' : arm}","safety":${canonical(measure(level))},"title":"${arm === 'clean' ? 'Clean' : `Attacked, ${arm}`}"}`);
}
const verdicts = Array.from({ length: arms }, (_, at) => armOf(at)).flatMap((arm) => {
  const attacks = arm === 'clean' ? 0 : malicious * rounds;
  const refused = judged(arm, true)[0] === 'reject' ? attacks : 0;
  const honest = { arm, kind: 'benign', accepted: clients * rounds - attacks, refused: 0, failed: 0 };
  return attacks > 0 ? [honest, { arm, kind: 'unaligned-data', accepted: attacks - refused, refused, failed: 0 }] : [honest];
});
const rest = canonical({
  base: { digest: some, name: 'embedded' }, defence: [], engine: 'none: made by a script',
  experiment: { title: 'Many rounds', federation: { clients, malicious, sampled: clients, rounds } },
  log: { size: 1, root: leaf(Buffer.from('x')).toString('hex'), checkpoint: '' }, node: node.toString('hex'), peak_mb: 0,
  progress: { done: 1, total: 1, label: 'finished' }, run: basename(dir), seconds: 0, seed: 42, side_by_side: [],
  started: created, state: 'finished', title: 'Many rounds', verdicts,
});
await write(`],${rest.slice(1)}`);
out.end();
await once(out, 'finish');

const entries = [
  { type: 'run-opened', run_config: hex(plan), base: some, node: node.toString('hex'), seed: 42, created },
  { type: 'report', digest: hash.digest('hex') },
  { type: 'closed' },
].map((record) => Buffer.from(canonical(record)));
const leaves = entries.map((entry) => leaf(entry));
const length = ({ length }) => Buffer.of(length >> 8, length & 255);
// C2SP tlog-tiles: one tile of hashes and one bundle of entries, both partial.
writeFileSync(join(dir, 'log/tile/0/000.p/3'), Buffer.concat(leaves));
writeFileSync(join(dir, 'log/tile/entries/000.p/3'), Buffer.concat(entries.flatMap((entry) => [length(entry), entry])));
writeFileSync(join(dir, 'log/checkpoint'), checkpointOf(origin, entries.length, rootOf(leaves)));
