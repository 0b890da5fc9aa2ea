"""Writes the file that `cargo xtask bench tuning parquet` reads: conversations in a gigabyte of Parquet.

    python parquet.py FILE

Needs pyarrow (../files/requirements.txt), whose defaults it has: snappy, dictionaries where they help, pages of
1 MiB. A row group has 128 MiB of text.
"""
import pathlib, random, sys
import pyarrow as pa
import pyarrow.parquet as pq

FILE_BYTES = 10**9
GROUP_BYTES = 128 << 20
SCHEMA = pa.schema([("id", pa.int64()),
                    ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])))])

draw = random.Random(7)
letters = "abcdefghijklmnopqrstuvwxyz"
words = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(20_000)]
# Texts are pieces of this one: drawing each word of a gigabyte would take minutes.
pool = " ".join(draw.choices(words, k=4_000_000))


def text():
    length = draw.randint(40, 2000)
    start = draw.randrange(len(pool) - length)
    return pool[start:start + length]


def conversation():
    turns = draw.choice([2, 2, 4, 6])
    return [{"role": "user" if turn % 2 == 0 else "assistant", "content": text()} for turn in range(turns)]


def main():
    file = pathlib.Path(sys.argv[1])
    part = file.with_suffix(".part")
    rows = 0
    with open(part, "wb") as out, pq.ParquetWriter(out, SCHEMA) as writer:
        while out.tell() < FILE_BYTES:
            group, size = [], 0
            while size < GROUP_BYTES:
                messages = conversation()
                size += sum(len(message["content"]) for message in messages)
                group.append({"id": rows + len(group), "messages": messages})
            writer.write_table(pa.Table.from_pylist(group, SCHEMA), row_group_size=len(group))
            rows += len(group)
    part.rename(file)
    print(f"    {rows} conversations, {file.stat().st_size / 1e9:.2f} GB", file=sys.stderr)


if __name__ == "__main__":
    main()
