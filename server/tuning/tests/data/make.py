"""Makes the data files of this folder: pip install pandas pyarrow; python make.py

One small set of conversations (invented, inert) in every layout and format that the readers know,
written by pandas and pyarrow with different codecs, encodings, page versions and row groups.
expected.json holds what every file of a layout shall give.
"""

import json
import pathlib

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

here = pathlib.Path(__file__).parent
N = 40


def words(seed, count):
    pool = ["river", "stone", "light", "garden", "paper", "music", "Stra\u00dfe", "\u6c34", "\U0001f33f", "so \"quoted\""]
    return " ".join(pool[(seed * 7 + i * i + i) % len(pool)] for i in range(count))


def turns(i):
    """Conversation i: one to three exchanges; every seventh ends with a question."""
    out = []
    for t in range(1 + i % 3):
        out.append(("user", f"Question {i}.{t}: {words(i + t, 3 + i % 5)}?"))
        out.append(("assistant", f"Answer {i}.{t}: {words(i * 3 + t, 4 + i % 7)}."))
    if i % 7 == 6:
        out.append(("user", "And then?"))
    return out


def write(name, rows, **options):
    """Parquet by pyarrow, types inferred."""
    pq.write_table(pa.Table.from_pylist(rows), here / name, **options)


def text(name, rows, lines):
    with open(here / name, "w", encoding="utf-8") as file:
        if lines:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        else:
            json.dump(rows, file, ensure_ascii=True, indent=1)


# Alpaca: the first exchange; every fifth has an input, every ninth no output.
alpaca, alpaca_expected = [], []
for i in range(N):
    (_, question), (_, answer) = turns(i)[:2]
    extra = words(i, 2) if i % 5 == 0 else ""
    output = "" if i % 9 == 8 else answer
    alpaca.append({"instruction": question, "input": extra, "output": output, "source": i})
    if output:
        prompt = f"{question}\n\n{extra}" if extra else question
        alpaca_expected.append([["user", prompt], ["assistant", output]])
text("alpaca.json", alpaca, lines=False)
text("alpaca.jsonl", alpaca, lines=True)
pd.DataFrame(alpaca).to_parquet(here / "alpaca.parquet")  # snappy, dictionary
write("alpaca-delta.parquet", alpaca, compression="none", use_dictionary=False,
      column_encoding={"instruction": "DELTA_BYTE_ARRAY", "input": "DELTA_LENGTH_BYTE_ARRAY",
                       "output": "PLAIN", "source": "DELTA_BINARY_PACKED"})

# Conversations without the trailing question.
chats = [turns(i) for i in range(N)]
chats_expected = [[list(m) for m in (c[:-1] if c[-1][0] == "user" else c)] for c in chats]

sharegpt = [{"id": f"s{i}", "conversations": [
    {"from": "human" if role == "user" else "gpt", "value": said} for role, said in chat]}
    for i, chat in enumerate(chats)]
text("sharegpt.json", sharegpt, lines=False)
write("sharegpt.parquet", sharegpt, compression="zstd", row_group_size=16)

messages = [{"messages": [{"role": role, "content": said} for role, said in chat]}
            for chat in chats]
text("messages.jsonl", messages, lines=True)
write("messages.parquet", messages, compression="zstd", data_page_version="2.0",
      data_page_size=512, write_batch_size=8)

# Columns of JSON documents (datasets and DuckDB write such), and messages that are maps.
as_json = {key: pa.array([json.dumps(row[key]) for row in alpaca]).cast(pa.json_(pa.string()))
           for key in ("instruction", "input", "output")}
pq.write_table(pa.table(as_json), here / "alpaca-json.parquet", compression="gzip")
maps = pa.schema([("messages", pa.list_(pa.map_(pa.string(), pa.string())))])
as_maps = [{"messages": [list(m.items()) for m in row["messages"]]} for row in messages]
pq.write_table(pa.Table.from_pylist(as_maps, schema=maps), here / "messages-map.parquet",
               compression="brotli", data_page_version="2.0")
write("sharegpt-lz4.parquet", sharegpt, compression="lz4")

# Arrow: a file, and a stream with a dictionary.
feather.write_feather(pa.Table.from_pylist(messages), here / "messages.arrow", chunksize=16)
columns = pa.Table.from_pylist(alpaca)
columns = columns.set_column(1, "input", columns["input"].cast(pa.dictionary(pa.int32(), pa.string())))
with ipc.new_stream(here / "alpaca.arrow", columns.schema) as stream:
    stream.write_table(columns, max_chunksize=16)

lmsys = [{"conversation_id": f"{i:032x}", "model": "vicuna-13b",
          "conversation": [{"content": said, "role": role} for role, said in chat],
          "turn": len(chat) // 2, "language": "English",
          "openai_moderation": [{"flagged": False, "category_scores": {"x": 0.25}}],
          "redacted": i % 2 == 0} for i, chat in enumerate(chats)]
write("lmsys.parquet", lmsys, use_compliant_nested_type=False)

wildchat = [{"conversation_hash": f"{i:032x}", "model": "gpt-4",
             "timestamp": pd.Timestamp(2024, 1, 1 + i % 28), "turn": len(chat) // 2,
             "conversation": [{"content": said, "country": None, "language": "English",
                               "redacted": False, "role": role, "toxic": False,
                               "turn_identifier": 10 * i + t} for t, (role, said) in enumerate(chat)],
             "language": "English", "toxic": False} for i, chat in enumerate(chats)]
write("wildchat.parquet", wildchat, use_dictionary=False, data_page_size=256, write_batch_size=4)

with open(here / "expected.json", "w", encoding="utf-8") as file:
    json.dump({"alpaca": alpaca_expected, "chats": chats_expected}, file, ensure_ascii=False)
    file.write("\n")
