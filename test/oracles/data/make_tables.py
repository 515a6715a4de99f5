"""
Tables as other programs write them, with their rows: pyarrow's Parquet (compressions, row groups, dictionary, nulls) and Python's csv.

  python test/oracles/data/make_tables.py        # from the repository root; writes test/golden/data
"""

import csv
import gzip
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

out = pathlib.Path("test/golden/data")
out.mkdir(parents=True, exist_ok=True)

texts = ["plain", "Ünï 😀 汉字", 'a "quoted" text, with commas', "two\nlines\r\nand more", "", " spaces ", "x" * 3000, "tab\there"]
rows = [
    {"text": texts[i % len(texts)] + f" {i}", "year": 1900 + i, "share": i / 8, "party": ["red", "blue", None][i % 3], "ok": i % 2 == 0}
    for i in range(40)
]
json.dump(rows, open(out / "rows.json", "w"), ensure_ascii=False, indent=0)

table = pa.Table.from_pylist(rows, schema=pa.schema([
    ("text", pa.string()), ("year", pa.int64()), ("share", pa.float64()), ("party", pa.string()), ("ok", pa.bool_()),
]))
for compression in ["none", "snappy", "gzip", "zstd", "lz4", "brotli"]:
    pq.write_table(table, out / f"{compression}.parquet", compression=compression, row_group_size=16)
pq.write_table(table.rename_columns(["body", "year", "share", "party", "ok"]), out / "body.parquet")

def write(file, delimiter):
    writer = csv.DictWriter(file, fieldnames=list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)

with open(out / "rows.csv", "w", newline="") as file:
    write(file, ",")
with open(out / "rows.tsv", "w", newline="") as file:
    write(file, "\t")
with gzip.GzipFile(out / "rows.csv.gz", "w", mtime=0) as raw:
    raw.write((out / "rows.csv").read_bytes())

# Many row groups, near-duplicates in every tenth row, and columns that nobody asks for.
random = __import__("random").Random(0)
many = []
for i in range(2000):
    words = [f"w{random.randrange(3000)}" for _ in range(30)]
    if i % 10 == 9:
        words = many[i - 1]["text"].split(" ")[:-1] + ["other"]
    many.append({"text": " ".join(words), "number": i, "rest": "".join(random.choices("abcdefghij", k=200))})
pq.write_table(pa.Table.from_pylist(many), out / "grouped.parquet", compression="snappy", row_group_size=100)
