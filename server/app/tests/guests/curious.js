// Reads its clocks and draws numbers, which must be the run's own, and trains.
import * as host from "fedseal:policy/host@0.1.0";

export function run() {
  const now = new Date();
  host.log(`year ${now.getUTCFullYear()}`);
  host.log(`drawn ${Math.random()} at ${now.getTime()}`);
  const { steps, batchSize, learningRate } = host.context();
  const shard = host.shard();
  const options = { steps, batchSize, learningRate, proximalMu: 0 };
  host.submit(host.train(host.global(), shard, options), host.count(shard));
}
