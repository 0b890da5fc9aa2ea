#!/usr/bin/env bash
# datasets 5.2.0: one row of a JSONL file whose answer is a list makes load_dataset give the whole column the
# type Json. Inside datasets nothing is seen of it: the other answers stay plain strings. to_parquet then writes
# every value as JSON text, so polars 2.1.0, pandas 3.1.1, pyarrow 26.0.1 and DuckDB 2.0.1 all read "Blue." with
# the quotation marks as part of the text, and a model that is tuned on the file learns to quote its answers.
# Only datasets takes the marks off again. Dataset.from_list refuses the same two rows.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip --quiet install datasets==5.2.0 pyarrow==26.0.1 polars==2.1.0 pandas==3.1.1 duckdb==2.0.1
cat > see.py <<'PYTHON'
import json

import datasets
import duckdb
import pandas
import polars
import pyarrow
import pyarrow.parquet

rows = [
    {"prompt": "What colour is the sky?", "answer": "Blue."},
    {"prompt": "Name two colours.", "answer": ["red", "green"]},
]
try:
    datasets.Dataset.from_list(rows)
    refused = False
except pyarrow.lib.ArrowTypeError:
    refused = True


def answers(rows):
    with open("rows.jsonl", "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    loaded = datasets.load_dataset("json", data_files="rows.jsonl", split="train")
    loaded.to_parquet("rows.parquet")
    again = datasets.load_dataset("parquet", data_files="rows.parquet", split="train")
    return {
        "datasets, loaded": loaded[0]["answer"],
        "datasets, Parquet": again[0]["answer"],
        "pyarrow": pyarrow.parquet.read_table("rows.parquet")["answer"][0].as_py(),
        "pandas": pandas.read_parquet("rows.parquet")["answer"][0],
        "polars": polars.read_parquet("rows.parquet")["answer"][0],
        "duckdb": duckdb.sql("select answer from 'rows.parquet'").fetchall()[0][0],
    }


plain, mixed = answers(rows[:1]), answers(rows)
print(f"datasets {datasets.__version__}; Dataset.from_list of the two rows: {'refused' if refused else 'taken'}")
for reader in plain:
    print(f"{reader:18} string alone: {plain[reader]!r:10} beside a list: {mixed[reader]!r}")
assert refused
assert set(plain.values()) == {"Blue."}
inside = {mixed.pop("datasets, loaded"), mixed.pop("datasets, Parquet")}
assert inside == {"Blue."}, inside
assert set(mixed.values()) == {'"Blue."'}, mixed
PYTHON
HF_HOME="$folder/hub" venv/bin/python see.py 2> log || { cat log; exit 1; }
