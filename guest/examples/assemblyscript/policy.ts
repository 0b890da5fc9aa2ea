// An honest policy in AssemblyScript: trains the global adapter on the client's own shard.
import * as host from "fedseal";

export function run(): string | null {
  const shard = host.shard();
  const trained = host.train(host.global(), shard, host.context().trainOptions());
  if (trained === null) return host.refusal;
  return host.submit(trained, host.count(shard)) ? null : host.refusal;
}
