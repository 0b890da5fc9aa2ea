// An honest policy in JavaScript.
import * as host from "fedseal:policy/host@0.1.0";

export function run() {
  const context = host.context();
  const shard = host.shard();
  const trained = host.train(host.global(), shard, {
    steps: context.steps,
    batchSize: context.batchSize,
    learningRate: context.learningRate,
    proximalMu: context.proximalMu,
  });
  host.submit(trained, host.count(shard));
}
