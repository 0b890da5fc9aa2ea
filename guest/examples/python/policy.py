"""An honest policy in Python: trains the global adapter on the client's own shard."""

import wit_world
from componentize_py_types import Err
from wit_world.imports import host


class WitWorld(wit_world.WitWorld):
    def run(self) -> None:
        context = host.context()
        with host.shard() as shard, host.global_() as start:
            options = host.TrainOptions(
                steps=context.steps,
                batch_size=context.batch_size,
                learning_rate=context.learning_rate,
                proximal_mu=context.proximal_mu,
            )
            with host.train(start, shard, options) as trained:
                host.submit(trained, host.count(shard))
