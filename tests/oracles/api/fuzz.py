"""Asks a server whatever its description allows, and what it does not, by schemathesis.

    python3 tests/oracles/api/fuzz.py BASE CASES

Runs, updates, arms and entries of the server stand in half of the addresses: of made-up names alone nothing but
refusals would come back. An error is an answer that the description does not have: its status, media type or
content, or a fault of the server. Prints them, and the counts as JSON in the last line.
"""

import collections
import json
import random
import sys
import urllib.request

import hypothesis
import schemathesis
from schemathesis.checks import CHECKS

BASE, CASES = sys.argv[1], int(sys.argv[2])
ASKED = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
]
# Seconds; a live feed of a run that goes on has no end.
PATIENCE = 20


def get(path):
    with urllib.request.urlopen(BASE + path) as answer:
        return json.load(answer)


def known():
    """Values of path parameters that lead somewhere."""
    run = get("/api/runs")[0]["run"]
    report = get(f"/api/runs/{run}")
    arms = [arm["id"] for arm in report["arms"]]
    clients = [c for arm in report["arms"] for r in arm["rounds"] for c in r["clients"]]
    updates = [c["update"] for c in clients if c["update"]]
    return {
        "run": [run],
        "update": updates[:20] + [update[:12] for update in updates[:5]],
        "arm": arms,
        "round": ["0", "1", "2"],
        "index": ["0", "1", "7"],
        "path": ["checkpoint", "tile/0/000", "tile/entries/000"],
    }


def main():
    values = known()
    draw = random.Random(7)
    schema = schemathesis.openapi.from_url(f"{BASE}/api/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    each = -(-CASES // len(operations))
    checks = CHECKS.get_by_names(ASKED)
    counts, errors, shown = collections.Counter(), 0, set()
    for operation in operations:
        name = f"{operation.method.upper()} {operation.path}"

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(
            max_examples=each,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        def ask(case):
            nonlocal errors
            for parameter in list(case.path_parameters or {}):
                if draw.random() < 0.5:
                    case.path_parameters[parameter] = draw.choice(values[parameter])
            answer = case.call(timeout=PATIENCE)
            counts[answer.status_code] += 1
            try:
                case.validate_response(answer, checks=checks)
            except Exception as error:  # Whatever is found is counted.
                errors += 1
                text = str(error)
                if (name, text[:200]) not in shown and len(shown) < 20:
                    shown.add((name, text[:200]))
                    print(f"{name}: {text[:1500]}", file=sys.stderr)

        done = sum(counts.values())
        # Few parameters have few values: what hypothesis does not make any more is asked again.
        while sum(counts.values()) - done < each:
            ask()
    print(json.dumps({"cases": sum(counts.values()), "errors": errors, "statuses": counts}))


main()
