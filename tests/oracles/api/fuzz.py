"""Asks a server whatever its description allows, and what it does not, by schemathesis.

    python3 tests/oracles/api/fuzz.py BASE CASES

Runs, updates, arms and entries of the server stand in half of the addresses: of made-up names alone nothing but
refusals would come back. An error is an answer that the description does not have: its status, media type or
content; a fault of the server; or no answer. Prints them, and the counts as JSON in the last line.
"""

import collections
import json
import random
import sys
import time
import urllib.request

import hypothesis
import schemathesis
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup

BASE, CASES = sys.argv[1], int(sys.argv[2])
ASKED = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
]
# Seconds for one answer.
PATIENCE = 20
# Seconds for one operation; what is not asked by then is missing in the count.
LONGEST = 240
# Examples that hypothesis draws at a time.
AT_ONCE = 100
# Errors that are printed.
SHOWN = 20


def get(path):
    with urllib.request.urlopen(BASE + path, timeout=PATIENCE) as answer:
        return json.load(answer)


def known():
    """Values of path parameters that lead somewhere."""
    run = get("/api/runs")[0]["run"]
    report = get(f"/api/runs/{run}")
    arms = [arm["id"] for arm in report["arms"]]
    clients = [c for arm in report["arms"] for r in arm["rounds"] for c in r["clients"]]
    updates = [c["update"] for c in clients if c.get("update")]
    return {
        "run": [run],
        "update": updates[:20] + [update[:12] for update in updates[:5]],
        "arm": arms,
        "round": ["0", "1", "2"],
        "index": ["0", "1", "7"],
        "path": ["checkpoint", "tile/0/000", "tile/entries/000"],
    }


class Counts:
    """Answers by their status, and errors; the first errors of each kind are printed."""

    def __init__(self):
        self.statuses, self.errors, self.shown = collections.Counter(), 0, set()

    def all(self):
        return sum(self.statuses.values())

    def error(self, name, error):
        self.errors += 1
        text = str(error)
        if (name, text[:200]) not in self.shown and len(self.shown) < SHOWN:
            self.shown.add((name, text[:200]))
            print(f"{name}: {type(error).__name__}: {text[:1500]}", file=sys.stderr)


def asks(operation, values, checks, counts, seed):
    """Makes a test that asks an operation AT_ONCE times, other examples for another seed."""
    name = f"{operation.method.upper()} {operation.path}"
    draw = random.Random(seed)

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=AT_ONCE,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy())
    def ask(case):
        for parameter in list(case.path_parameters or {}):
            if parameter in values and draw.random() < 0.5:
                case.path_parameters[parameter] = draw.choice(values[parameter])
        try:
            answer = case.call(timeout=PATIENCE)
        except Exception as error:  # No answer is an error, and no reason to stop.
            counts.statuses["none"] += 1
            counts.error(name, error)
            return
        counts.statuses[str(answer.status_code)] += 1
        try:
            case.validate_response(answer, checks=checks)
        # Whatever is found is counted; a group of failures is no Exception.
        except (Exception, FailureGroup) as error:
            counts.error(name, error)

    return ask


def main():
    values = known()
    schema = schemathesis.openapi.from_url(f"{BASE}/api/openapi.json")
    # Those of OpenAPI are registered when somebody asks for them.
    load_all_checks()
    checks = CHECKS.get_by_names(ASKED)
    operations = [result.ok() for result in schema.get_all_operations()]
    each = -(-CASES // len(operations))
    counts, seed = Counts(), 7
    for operation in operations:
        done, until = counts.all(), time.monotonic() + LONGEST
        # Few parameters have few values: what hypothesis does not make any more is asked again.
        while counts.all() - done < each and time.monotonic() < until:
            try:
                asks(operation, values, checks, counts, seed)()
            # An operation that no example can be made of.
            except Exception as error:
                counts.error(operation.path, error)
                break
            seed += 1
    print(json.dumps({"cases": counts.all(), "errors": counts.errors, "statuses": counts.statuses}))


main()
