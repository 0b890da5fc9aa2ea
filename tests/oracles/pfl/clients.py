"""The peer's side of `cargo xtask bench federation clients`: pfl's simulation of sampled clients, each of which
trains a logistic regression on 50 examples for an epoch.

    torchrun --standalone --nproc_per_node 2 clients.py CLIENTS ROUNDS

Every process simulates its part of the clients on one thread, which is pfl's way to use several cores; that pfl shares
them out is checked. The first one prints a line of JSON: clients, rounds, and the seconds of all rounds, without start
and imports.
"""
import json, os, sys, time

import numpy as np
import torch

from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.internal.ops import pytorch_ops
from pfl.metrics import Weighted
from pfl.model.pytorch import PyTorchModel

EXAMPLES, FEATURES, BATCH = 50, 100, 10
CLIENTS, ROUNDS = int(sys.argv[1]), int(sys.argv[2])


class Logistic(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(FEATURES, 1)

    def loss(self, x, y):
        return torch.nn.functional.binary_cross_entropy_with_logits(self.linear(x).squeeze(1), y)

    @torch.no_grad()
    def metrics(self, x, y):
        return {"loss": Weighted(self.loss(x, y).item() * len(y), len(y))}


def data():
    draw = np.random.default_rng(1)
    truth = draw.normal(size=FEATURES)
    x = draw.normal(size=(CLIENTS, EXAMPLES, FEATURES)).astype(np.float32)
    y = (x @ truth > 0).astype(np.float32)
    sets = [PyTorchTensorDataset((torch.from_numpy(x[user]), torch.from_numpy(y[user])), user_id=str(user))
            for user in range(CLIENTS)]
    sampler = get_user_sampler("random", list(range(CLIENTS)))
    return FederatedDataset(lambda user: sets[user], sampler)


def simulate(users, clients, rounds):
    module = Logistic()
    model = PyTorchModel(model=module, local_optimizer_create=torch.optim.SGD,
                         central_optimizer=torch.optim.SGD(module.parameters(), lr=1.0))
    # The least that it evaluates: the clients of the first round.
    params = NNAlgorithmParams(central_num_iterations=rounds, evaluation_frequency=rounds,
                               train_cohort_size=clients, val_cohort_size=0)
    train = NNTrainHyperParams(local_num_epochs=1, local_learning_rate=0.1, local_batch_size=BATCH)
    begun = time.perf_counter()
    FederatedAveraging().run(algorithm_params=params, backend=SimulatedBackend(users, users), model=model,
                             model_train_params=train, model_eval_params=NNEvalHyperParams(local_batch_size=None),
                             send_metrics_to_platform=False)
    return time.perf_counter() - begun


def main():
    torch.set_num_threads(1)
    started, known = int(os.environ.get("WORLD_SIZE", "1")), pytorch_ops.distributed.world_size
    if known != started:
        sys.exit(f"{started} processes were started, and pfl knows of {known}: each would simulate all clients")
    np.random.seed(1)
    users = data()
    simulate(users, min(CLIENTS, 50), 1)
    seconds = simulate(users, CLIENTS, ROUNDS)
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps({"clients": CLIENTS, "rounds": ROUNDS, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
