"""Looks for a way out of the sandbox, writes down what it finds, and trains."""

import os
import random
import socket
import sys
import time

import wit_world
from wit_world.imports import host


def attempt(name, action):
    try:
        print(f"{name}: {action()}")
    except Exception:
        print(f"{name}: refused")


class WitWorld(wit_world.WitWorld):
    def run(self) -> None:
        attempt("files", lambda: os.listdir("/"))
        attempt("open", lambda: open("/etc/passwd").read())
        attempt("socket", lambda: socket.create_connection(("127.0.0.1", 80)))
        attempt("environment", lambda: len(os.environ))
        attempt("year", lambda: time.gmtime().tm_year)
        before = time.monotonic()
        time.sleep(3600)
        print(f"slept: {3600 <= time.monotonic() - before < 3601}")
        print(f"drawn: {random.random()} {os.urandom(8).hex()} {hash('text')}")
        print("to standard error", file=sys.stderr)
        context = host.context()
        options = host.TrainOptions(
            steps=context.steps,
            batch_size=context.batch_size,
            learning_rate=context.learning_rate,
            proximal_mu=0.0,
        )
        shard = host.shard()
        host.submit(host.train(host.global_(), shard, options), host.count(shard))
