"""Writes test/golden/tfevents: run as `python test/oracles/tfevents/generate.py` from the repository root."""

import json
import math
import os

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "golden", "tfevents")
PATH = os.path.join(OUT, "events.out.tfevents.golden")
EVENTS = [
    {"wallTime": 1.0, "step": 0, "scalars": {"loss": 1.5}},
    {"wallTime": 1795500000.25, "step": 127, "scalars": {"loss": 0.1, "fvu": 0.25, "größe": -3.0}},
    {"wallTime": 1795500001.5, "step": 128, "scalars": {"loss": 1e-8}},
    {"wallTime": 1795500002.0, "step": 2**40 + 5, "scalars": {"loss": 3.4e38, "dead": 0.0}},
]


def main():
    os.makedirs(OUT, exist_ok=True)
    with open(PATH, "wb") as f:
        writer = RecordWriter(f)
        writer.write(event_pb2.Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString())
        for e in EVENTS:
            values = [summary_pb2.Summary.Value(tag=t, simple_value=v) for t, v in e["scalars"].items()]
            event = event_pb2.Event(wall_time=e["wallTime"], step=e["step"], summary=summary_pb2.Summary(value=values))
            writer.write(event.SerializeToString())
        writer.flush()
    accumulator = EventAccumulator(PATH)
    accumulator.Reload()
    for tag in {t for e in EVENTS for t in e["scalars"]}:
        read = [(s.step, s.value) for s in accumulator.Scalars(tag)]
        want = [(e["step"], e["scalars"][tag]) for e in EVENTS if tag in e["scalars"]]
        assert [s for s, _ in read] == [s for s, _ in want], tag
        assert all(math.isclose(a, b, rel_tol=1e-6) for (_, a), (_, b) in zip(read, want)), tag
    with open(os.path.join(OUT, "events.json"), "w") as f:
        json.dump(EVENTS, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
