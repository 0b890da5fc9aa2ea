"""Reads Prometheus' text format from standard input as prometheus-client does, and writes what it found as JSON:
for each metric its name, type and help, and every sample with its labels and value. A text that the format does
not allow ends with an error."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

families = []
for family in text_string_to_metric_families(sys.stdin.buffer.read().decode()):
    samples = [
        {"name": sample.name, "labels": sample.labels, "value": sample.value} for sample in family.samples
    ]
    families.append(
        {"name": family.name, "type": family.type, "help": family.documentation, "samples": samples}
    )
json.dump(families, sys.stdout)
