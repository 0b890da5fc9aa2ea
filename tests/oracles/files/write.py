"""Data files as other tools write them: `cargo xtask oracle files`.

    write.py OUT

The same few hundred rows (invented, inert) are written by pyarrow, polars, DuckDB, fastparquet, pandas
and datasets in every codec and encoding that they have. OUT/manifest.json names each file with what
reading it shall give: the conversations of OUT/NAME.expected.json, or a refusal with a word in it. Under
"fields" are pairs of files that differ in one field, which therefore must not be read alike.
"""
import base64, gzip, itertools, json, os, pathlib, sys, traceback

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")
import datasets
import duckdb
import fastparquet
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute
import pyarrow.feather as feather
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

datasets.disable_progress_bars()
out = pathlib.Path(sys.argv[1]).resolve()
out.mkdir(parents=True, exist_ok=True)
files, fields, failed = [], [], []
N = 240
# Texts that look like other things, too.
SAID = ["Blue.", "42", "true", "null", '{"a": 1}', "[1, 2]", '"quoted"', "Straße 水 🌿", "line\nbreak", "a\ttab", "-0.0"]


def said(i):
    return f"{SAID[i % len(SAID)]}" if i % 3 == 0 else f"{SAID[i % len(SAID)]} ({i * 7919 % 1000})"


flat = [{"instruction": f"Question {i}: {said(i)}", "input": [None, "", f"with {i}"][i % 3], "output": said(i + 5),
         "n": i, "score": i / 7, "ok": i % 2 == 0, "raw": bytes([255, i % 256])} for i in range(N)]
flat_expected = [[["user", r["instruction"] + (f"\n\n{r['input']}" if r["input"] else ""), True],
                  ["assistant", r["output"], True]] for r in flat]


def turns(i):
    turn = []
    for t in range(1 + i % 4):
        turn.append(("user", f"Q{i}.{t} {said(i + t)}", None))
        turn.append(("assistant", said(i * 3 + t), [None, 1.0, 0.0][(i + t) % 3]))
    return turn


chat = [{"id": i, "messages": [{"role": r, "content": c, "weight": w, "extra": {"x": i}} for r, c, w in turns(i)]}
        for i in range(N)]


def learned(messages):
    """Turns up to the last answer that is learned."""
    said = [[m["role"], m["content"], m["weight"] != 0.0] for m in messages]
    last = max((k for k, m in enumerate(said) if m[0] == "assistant" and m[2] and m[1].strip()), default=None)
    return None if last is None else [[r, c, l or r == "user"] for r, c, l in said[:last + 1]]


chat_expected = [c for c in (learned(r["messages"]) for r in chat) if c]
plain_chat = [{"messages": [{k: m[k] for k in ("role", "content")} for m in r["messages"]]} for r in chat]
plain_expected = [[[m["role"], m["content"], True] for m in r["messages"]] for r in plain_chat]


def is_json(text):
    try:
        json.loads(text)
        return True
    except (TypeError, ValueError):
        return False


# datasets keeps a text that is JSON as the document that it is, so its columns of JSON have other texts.
words = [i for i, r in enumerate(flat) if not any(is_json(r[k]) for k in ("instruction", "input", "output"))]
talks = [i for i, r in enumerate(plain_chat) if not any(is_json(m["content"]) for m in r["messages"])]
for name, expected in [("flat", flat_expected), ("chat", chat_expected), ("plain", plain_expected),
                       ("words", [flat_expected[i] for i in words]), ("talks", [plain_expected[i] for i in talks])]:
    (out / f"{name}.expected.json").write_text(json.dumps(expected), encoding="utf-8")


def write(name, expected, how, refused=None):
    """Writes a file by `how(path)`. A writer that cannot do it itself does not count."""
    path = out / name
    try:
        how(str(path))
    except Exception as error:  # noqa: BLE001
        failed.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        return
    files.append({"file": name, "expected": expected, **({"refused": refused} if refused else {})})


# pyarrow
flat_types = pa.schema([("instruction", pa.string()), ("input", pa.string()), ("output", pa.string()), ("n", pa.int64()),
                        ("score", pa.float64()), ("ok", pa.bool_()), ("raw", pa.binary())])
flat_table = pa.Table.from_pylist(flat, schema=flat_types)
message = pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.float64()),
                     ("extra", pa.struct([("x", pa.int64())]))])
chat_table = pa.Table.from_pylist(chat, schema=pa.schema([("id", pa.int64()), ("messages", pa.list_(message))]))
CODECS = ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]
for codec, page, dictionary in itertools.product(CODECS, ["1.0", "2.0"], [True, False]):
    options = {"compression": codec, "data_page_version": page, "use_dictionary": dictionary}
    name = f"pyarrow-{codec}-{page}-{'dict' if dictionary else 'plain'}"
    write(f"{name}-flat.parquet", "flat", lambda p: pq.write_table(flat_table, p, **options))
    write(f"{name}-chat.parquet", "chat", lambda p: pq.write_table(chat_table, p, row_group_size=64, **options))
for encoding in ["PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"]:
    for page in ["1.0", "2.0"]:
        options = {"use_dictionary": False, "data_page_version": page, "data_page_size": 300, "write_batch_size": 7}
        texts = {name: encoding for name in ["instruction", "input", "output"]}
        write(f"pyarrow-{encoding}-{page}-flat.parquet", "flat", lambda p: pq.write_table(
            flat_table, p, column_encoding={**texts, "n": "DELTA_BINARY_PACKED", "score": "BYTE_STREAM_SPLIT",
                                            "ok": "RLE"}, **options))
        nested = {"messages.list.element.role": encoding, "messages.list.element.content": encoding,
                  "messages.list.element.weight": "BYTE_STREAM_SPLIT"}
        write(f"pyarrow-{encoding}-{page}-chat.parquet", "chat",
              lambda p: pq.write_table(chat_table, p, column_encoding=nested, **options))
for version in ["1.0", "2.4", "2.6"]:
    write(f"pyarrow-v{version}-chat.parquet", "chat", lambda p: pq.write_table(chat_table, p, version=version))
for label, options in {
    "old-lists": {"use_compliant_nested_type": False}, "no-schema": {"store_schema": False},
    "checksums": {"write_page_checksum": True}, "index": {"write_page_index": True},
    "no-statistics": {"write_statistics": False}, "small-pages": {"data_page_size": 64, "write_batch_size": 3},
    "small-dictionary": {"dictionary_pagesize_limit": 200, "data_page_size": 200, "write_batch_size": 5},
    "one-row-groups": {"row_group_size": 1}, "large-groups": {"row_group_size": 10 ** 6},
}.items():
    write(f"pyarrow-{label}-flat.parquet", "flat", lambda p: pq.write_table(flat_table, p, **options))
    write(f"pyarrow-{label}-chat.parquet", "chat", lambda p: pq.write_table(chat_table, p, **options))
for label, kind in {"large": pa.large_string(), "view": pa.string_view(), "binary": pa.binary(),
                    "dictionary": pa.dictionary(pa.int32(), pa.string())}.items():
    columns = [c.cast(kind) if pa.types.is_string(c.type) else c for c in flat_table.columns]
    table = pa.table(columns, names=flat_table.column_names)
    write(f"pyarrow-{label}-flat.parquet", "flat", lambda p: pq.write_table(table, p))
for label, kind in {"large-list": pa.large_list(message), "list-view": pa.list_view(message)}.items():
    table = pa.Table.from_pylist(chat, schema=pa.schema([("messages", kind)]))
    write(f"pyarrow-{label}-chat.parquet", "chat", lambda p: pq.write_table(table, p))
required = pa.schema([pa.field("messages", pa.list_(pa.field("element", pa.struct(
    [pa.field("role", pa.string(), False), pa.field("content", pa.string(), False)]), False)), False)])
write("pyarrow-required-plain.parquet", "plain",
      lambda p: pq.write_table(pa.Table.from_pylist(plain_chat, schema=required), p))
maps = pa.schema([("messages", pa.list_(pa.map_(pa.string(), pa.string())))])
rows = [{"messages": [list(m.items()) for m in r["messages"]]} for r in plain_chat]
write("pyarrow-map-plain.parquet", "plain", lambda p: pq.write_table(pa.Table.from_pylist(rows, schema=maps), p))


class Kms(pe.KmsClient):
    def __init__(self, _config):
        pe.KmsClient.__init__(self)

    def wrap_key(self, key_bytes, master_key_identifier):
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key, master_key_identifier):
        return base64.b64decode(wrapped_key)


def encrypted(path, **options):
    factory = pe.CryptoFactory(lambda config: Kms(config))
    config = pe.EncryptionConfiguration(footer_key="f", column_keys={"k": ["output"]}, **options)
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), config)
    with pq.ParquetWriter(path, flat_table.schema, encryption_properties=properties) as writer:
        writer.write_table(flat_table)


write("pyarrow-encrypted.parquet", "flat", encrypted, refused="encrypted")
write("pyarrow-encrypted-columns.parquet", "flat", lambda p: encrypted(p, plaintext_footer=True), refused="encrypted")

# Columns of JSON documents: texts, whole conversations, and the texts inside them.
as_json = pa.table({name: pa.array([None if r[name] is None else json.dumps(r[name]) for r in flat],
                                   pa.string()).cast(pa.json_(pa.string())) for name in ["instruction", "input", "output"]})
write("pyarrow-json-flat.parquet", "flat", lambda p: pq.write_table(as_json, p))
write("pyarrow-json-no-schema-flat.parquet", "flat", lambda p: pq.write_table(as_json, p, store_schema=False))
whole = pa.table({"messages": pa.array([json.dumps(r["messages"]) for r in plain_chat]).cast(pa.json_(pa.string()))})
write("pyarrow-json-plain.parquet", "plain", lambda p: pq.write_table(whole, p))

# datasets
for label, rows, expected in [("flat", flat, "flat"), ("chat", chat, "chat"), ("plain", plain_chat, "plain")]:
    data = datasets.Dataset.from_list([{k: v for k, v in r.items() if k != "raw"} for r in rows])
    write(f"datasets-{label}.parquet", expected, lambda p: data.to_parquet(p))
    write(f"datasets-{label}-batches.parquet", expected, lambda p: data.to_parquet(p, batch_size=17))
    write(f"datasets-{label}.jsonl", expected, lambda p: data.to_json(p))
    write(f"datasets-{label}.json", expected, lambda p: data.to_json(p, lines=False, orient="records"))
    write(f"datasets-{label}.jsonl.gz", expected, lambda p: data.to_json(p, compression="gzip"))
    write(f"datasets-{label}.jsonl.zst", expected, lambda p: data.to_json(p, compression="zstd"))
    write(f"datasets-{label}.jsonl.xz", expected, lambda p: data.to_json(p, compression="xz"), refused="xz")
    write(f"datasets-{label}.csv", expected, lambda p: data.to_csv(p), refused="CSV")
    feature = getattr(datasets, "Json", None)
    if feature:
        mixed = {"flat": {name: feature() for name in ["instruction", "input", "output"]},
                 "plain": {"messages": datasets.List({"role": datasets.Value("string"), "content": feature()})}}
        if label in mixed:
            some, expected = (words, "words") if label == "flat" else (talks, "talks")
            data = datasets.Dataset.from_list([{k: rows[i][k] for k in mixed[label]} for i in some],
                                              features=datasets.Features(mixed[label]))
            write(f"datasets-json-{label}.parquet", expected, lambda p: data.to_parquet(p))
mixed = out / "mixed.jsonl"
mixed.write_text("".join(json.dumps({"messages": [
    {**m, "content": m["content"] if (i + k) % 2 else [{"type": "text", "text": m["content"]}]}
    for k, m in enumerate(plain_chat[i]["messages"])]}) + "\n" for i in talks), encoding="utf-8")
write("datasets-mixed-talks.parquet", "talks", lambda p: datasets.Dataset.from_json(
    str(mixed), cache_dir=str(out / "cache")).to_parquet(p))

# polars
frame, chats = pl.DataFrame(flat, infer_schema_length=None), pl.DataFrame(chat, infer_schema_length=None)
for codec in ["lz4", "uncompressed", "snappy", "gzip", "brotli", "zstd"]:
    write(f"polars-{codec}-flat.parquet", "flat", lambda p: frame.write_parquet(p, compression=codec))
    write(f"polars-{codec}-chat.parquet", "chat",
          lambda p: chats.write_parquet(p, compression=codec, row_group_size=50, data_page_size=400))
    write(f"polars-{codec}-lazy-flat.parquet", "flat", lambda p: frame.lazy().sink_parquet(p, compression=codec))
write("polars-categories-flat.parquet", "flat",
      lambda p: frame.with_columns(pl.col("output").cast(pl.Categorical)).write_parquet(p))
without_raw = frame.drop("raw")
write("polars-flat.json", "flat", lambda p: without_raw.write_json(p))
write("polars-flat.jsonl", "flat", lambda p: without_raw.write_ndjson(p))
write("polars-chat.json", "chat", lambda p: chats.write_json(p))
write("polars-chat.jsonl", "chat", lambda p: chats.write_ndjson(p))

# DuckDB
db = duckdb.connect()
db.register("flat_arrow", flat_table)
db.register("chat_arrow", chat_table)
db.execute("create table flat as select * from flat_arrow")
db.execute("create table chat as select * from chat_arrow")
for codec, version in itertools.product(["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4", "lz4_raw"], ["v1", "v2"]):
    options = f"format parquet, codec '{codec}', parquet_version {version}"
    for table in ["flat", "chat"]:
        write(f"duckdb-{codec}-{version}-{table}.parquet", table, lambda p: db.execute(f"copy {table} to '{p}' ({options})"))
write("duckdb-decimal-chat.parquet", "chat", lambda p: db.execute(
    "copy (select list_transform(messages, lambda m: {role: m.role, content: m.content, "
    f"weight: m.weight::decimal(9, 3)}}) as messages from chat) to '{p}' (format parquet)"))
write("duckdb-json-flat.parquet", "flat", lambda p: db.execute(
    "copy (select to_json(instruction) as instruction, to_json(input) as input, to_json(output) as output from flat) "
    f"to '{p}' (format parquet)"))
write("duckdb-json-chat.parquet", "chat", lambda p: db.execute(
    f"copy (select to_json(messages) as messages from chat) to '{p}' (format parquet)"))
write("duckdb-map-plain.parquet", "plain", lambda p: db.execute(
    "copy (select list_transform(messages, lambda m: map {'role': m.role, 'content': m.content}) as messages from chat) "
    f"to '{p}' (format parquet)"))
write("duckdb-variant-flat.parquet", "flat", lambda p: db.execute(
    f"copy (select instruction, input, output::variant as output from flat) to '{p}' (format parquet)"), refused="Variant")
for table, columns in [("flat", "* exclude raw"), ("chat", "*")]:
    query = f"select {columns} from {table}"
    write(f"duckdb-{table}.jsonl", table, lambda p: db.execute(f"copy ({query}) to '{p}' (format json)"))
    write(f"duckdb-{table}.json", table, lambda p: db.execute(f"copy ({query}) to '{p}' (format json, array true)"))
    write(f"duckdb-{table}.jsonl.gz", table, lambda p: db.execute(f"copy ({query}) to '{p}' (format json, compression gzip)"))
    write(f"duckdb-{table}.jsonl.zst", table, lambda p: db.execute(f"copy ({query}) to '{p}' (format json, compression zstd)"))

# fastparquet and pandas
pandas = pd.DataFrame(flat).drop(columns="raw")
for codec in ["UNCOMPRESSED", "SNAPPY", "GZIP", "BROTLI", "LZ4", "LZ4_RAW", "ZSTD"]:
    for encoding in ["utf8", "bytes", "json"]:
        write(f"fastparquet-{codec}-{encoding}-flat.parquet", "flat", lambda p: fastparquet.write(
            p, pandas.astype({name: object for name in ["instruction", "input", "output"]})
            if encoding != "bytes" else pandas.assign(**{
                name: [None if v is None else v.encode() for v in (r[name] for r in flat)]
                for name in ["instruction", "input", "output"]}),
            compression=codec, object_encoding={**{c: "infer" for c in pandas.columns}, **{
                name: encoding for name in ["instruction", "input", "output"]}}, row_group_offsets=[0, 100]))
write("fastparquet-json-plain.parquet", "plain", lambda p: fastparquet.write(
    p, pd.DataFrame(plain_chat), object_encoding={"messages": "json"}))
write("fastparquet-categories-flat.parquet", "flat",
      lambda p: fastparquet.write(p, pandas.astype({"output": "category"})))
for engine in ["pyarrow", "fastparquet"]:
    write(f"pandas-{engine}-flat.parquet", "flat", lambda p: pandas.to_parquet(p, engine=engine))
for label, options in {"jsonl": {"lines": True}, "json": {}, "ascii.json": {"force_ascii": True, "indent": 2}}.items():
    for packed in ["", ".gz", ".zst", ".bz2", ".xz", ".zip"]:
        word = {"": None, ".gz": None, ".zst": None, ".bz2": "bzip2", ".xz": "xz", ".zip": "zip"}[packed]
        write(f"pandas-flat.{label}{packed}", "flat",
              lambda p: pandas.to_json(p, orient="records", **options), refused=word)
text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in plain_chat)
for encoding, word in [("utf-8", None), ("utf-8-sig", None), ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16"),
                       ("utf-16-be", "UTF-16"), ("utf-32", "UTF-32")]:
    write(f"python-{encoding}-plain.jsonl", "plain", lambda p: pathlib.Path(p).write_text(text, encoding=encoding), refused=word)
write("python-crlf-plain.jsonl", "plain", lambda p: pathlib.Path(p).write_bytes(text.replace("\n", "\r\n").encode()))
write("python-members-plain.jsonl.gz", "plain", lambda p: pathlib.Path(p).write_bytes(
    b"".join(gzip.compress(line.encode()) for line in text.splitlines(keepends=True))))

# Arrow
for table, name in [(flat_table, "flat"), (chat_table, "chat")]:
    for codec in ["uncompressed", "lz4", "zstd"]:
        write(f"pyarrow-{codec}-{name}.arrow", name,
              lambda p: feather.write_feather(table, p, compression=codec, chunksize=100))
    for label, kind in {"large": pa.large_string(), "view": pa.string_view(), "binary": pa.binary(),
                        "dictionary": pa.dictionary(pa.int32(), pa.string())}.items():
        if name == "flat":
            columns = [c.cast(kind) if pa.types.is_string(c.type) else c for c in table.columns]
            other = pa.table(columns, names=table.column_names)
            write(f"pyarrow-{label}-flat.arrow", name, lambda p: feather.write_feather(other, p))

    def stream(path):
        with ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=50)

    write(f"pyarrow-stream-{name}.arrow", name, stream)
for label, kind in {"large-list": pa.large_list(message), "list-view": pa.list_view(message)}.items():
    table = pa.Table.from_pylist(chat, schema=pa.schema([("messages", kind)]))
    write(f"pyarrow-{label}-chat.arrow", "chat", lambda p: feather.write_feather(table, p))
rows = [{"messages": [list(m.items()) for m in r["messages"]]} for r in plain_chat]
write("pyarrow-map-plain.arrow", "plain", lambda p: feather.write_feather(pa.Table.from_pylist(rows, schema=maps), p))
write("pyarrow-json-flat.arrow", "flat", lambda p: feather.write_feather(as_json, p))
runs = pa.table({"instruction": pa.array(r["instruction"] for r in flat), "input": pa.array(r["input"] for r in flat),
                 "output": pa.compute.run_end_encode(pa.array(r["output"] for r in flat))})
write("pyarrow-runs-flat.arrow", "flat", lambda p: feather.write_feather(runs, p))
for codec in ["uncompressed", "lz4", "zstd"]:
    write(f"polars-{codec}-flat.arrow", "flat", lambda p: frame.write_ipc(p, compression=codec))
    write(f"polars-{codec}-chat.arrow", "chat", lambda p: chats.write_ipc(p, compression=codec))
write("polars-old-flat.arrow", "flat", lambda p: frame.write_ipc(p, compat_level=pl.CompatLevel.oldest()))
write("polars-stream-flat.arrow", "flat", lambda p: frame.write_ipc_stream(p))
write("polars-categories-flat.arrow", "flat",
      lambda p: frame.with_columns(pl.col("output").cast(pl.Categorical)).write_ipc(p))
for label, rows in [("flat", flat), ("chat", chat)]:
    data = datasets.Dataset.from_list([{k: v for k, v in r.items() if k != "raw"} for r in rows])
    data.save_to_disk(str(out / f"saved-{label}"))
    write(f"datasets-saved-{label}.arrow", label, lambda p: os.rename(
        next((out / f"saved-{label}").glob("*.arrow")), p))


# Fields that change what is learned. The second file lacks the field.
ANSWER = {"role": "assistant", "content": "Blue."}
CHAT = {"messages": [{"role": "user", "content": "Which colour?"}, ANSWER,
                     {"role": "user", "content": "And now?"}, {"role": "assistant", "content": "Red."}]}
ALPACA, PAIR = {"instruction": "Which colour?", "output": "Blue."}, {"prompt": "Which colour?", "completion": "Blue."}
CALL = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
beside = {"label": False, "kto_tag": False, "system": "Be brief.", "system_prompt": "Be brief.",
          "tools": [{"type": "function", "function": {"name": "f"}}], "documents": [{"title": "t", "text": "x"}],
          "chat_template_kwargs": {"enable_thinking": True}, "history": [["Hello?", "Hello."]]}
within = {"weight": 0, "train": False, "training": False, "loss": False, "tool_calls": CALL,
          "function_call": {"name": "f", "arguments": "{}"}, "refusal": "I will not.", "reasoning_content": "Because.",
          "reasoning": "Because.", "thinking": "Because.", "loss_scale": 0.5, "train_detail": [{"begin_offset": 0}]}


def pair(name, plain, changed):
    for label, rows in [("without", [plain]), ("with", [changed])]:
        path = out / f"field-{name}-{label}"
        path.with_suffix(".jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
        pq.write_table(pa.Table.from_pylist(rows), path.with_suffix(".parquet"))
    for kind in ["jsonl", "parquet"]:
        fields.append({"field": name, "with": f"field-{name}-with.{kind}", "without": f"field-{name}-without.{kind}"})


for (layout, row), (field, value) in itertools.product([("chat", CHAT), ("alpaca", ALPACA), ("pair", PAIR)], beside.items()):
    pair(f"{layout}-{field}", row, {**row, field: value})
for field, value in within.items():
    changed = {"messages": [CHAT["messages"][0], {**ANSWER, field: value}, *CHAT["messages"][2:]]}
    pair(f"message-{field}", CHAT, changed)
sharegpt = {"conversations": [{"from": "human", "value": "Which colour?"}, {"from": "gpt", "value": "Blue."}]}
pair("sharegpt-system", sharegpt, {**sharegpt, "system": "Be brief."})
pair("empty-content-refusal", {"messages": [CHAT["messages"][0], {"role": "assistant", "content": "x"}]},
     {"messages": [CHAT["messages"][0], {"role": "assistant", "content": None, "refusal": "I will not."}]})

versions = {m.__name__: m.__version__ for m in [pa, pl, duckdb, fastparquet, datasets, pd]}
(out / "manifest.json").write_text(json.dumps({"files": files, "fields": fields, "versions": versions, "failed": failed}, indent=1))
print(f"{len(files)} files, {len(fields)} fields, {len(failed)} that their writer refuses", file=sys.stderr)
for line in failed:
    print("   ", line, file=sys.stderr)
