"""Curves of a run as other tools read them, and theirs as runs of a session, with readers and writers that share no code
with the program: event files by struct and a bitwise CRC-32C, tables by the csv module.

Usage: curves_program.py MOESCOPE_NODE"""
import csv
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

NODE = sys.argv[1]
STEPS = 12
CONFIG = {"name": "tiny",
          "model": {"vocabulary": 320, "width": 32, "layers": 2, "heads": 2, "kv_heads": 1, "head_width": 16,
                    "experts": 4, "experts_per_token": 2, "expert_width": 32, "context": 32},
          "train": {"batch": 2, "steps": STEPS, "warmup_steps": 2, "evaluate_every": 6, "sample_every": 1000,
                    "checkpoint_every": 1000, "threads": 1}}
ENVIRONMENT = dict(os.environ, OMP_WAIT_POLICY="passive")


def check(right, what):
    if not right:
        sys.exit("curves_program: " + what)


def node(*arguments, status=0):
    done = subprocess.run([NODE, *map(str, arguments)], env=ENVIRONMENT, capture_output=True, text=True, timeout=100)
    check(done.returncode == status, f"{arguments} ended with {done.returncode}: {done.stderr}")
    return done


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17 & 0xFFFFFFFF)) + 0xA282EAD8) & 0xFFFFFFFF


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        head, at = varint(data, at)
        size = {1: 8, 5: 4}.get(head & 7)
        if head & 7 == 0:
            value, at = varint(data, at)
        elif head & 7 == 2:
            size, at = varint(data, at)
        if size is not None:
            value, at = data[at:at + size], at + size
        yield head >> 3, value


def read_events(path):
    """[(wall time, step, {tag: value}, version)] of an event file."""
    data, at, events = path.read_bytes(), 0, []
    while at < len(data):
        length, = struct.unpack_from("<Q", data, at)
        check(struct.unpack_from("<I", data, at + 8)[0] == masked(data[at:at + 8]), "checksum of a length")
        body = data[at + 12:at + 12 + length]
        check(struct.unpack_from("<I", data, at + 12 + length)[0] == masked(body), "checksum of a record")
        at += length + 16
        wall, step, values, version = 0.0, 0, {}, ""
        for number, value in fields(body):
            if number == 1:
                wall, = struct.unpack("<d", value)
            elif number == 2:
                step = value
            elif number == 3:
                version = value.decode()
            elif number == 5:
                for one, entry in fields(value):
                    check(one == 1, "a summary of something else than values")
                    entry = dict(fields(entry))
                    values[entry[1].decode()] = struct.unpack("<f", entry[2])[0]
        events.append((wall, step, values, version))
    return events


def put_varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def put(number, value):
    if isinstance(value, float):
        return put_varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return put_varint(number << 3) + put_varint(value)
    return put_varint(number << 3 | 2) + put_varint(len(value)) + value


def put_record(event):
    length = struct.pack("<Q", len(event))
    return length + struct.pack("<I", masked(length)) + event + struct.pack("<I", masked(event))


def simple(tag, value):
    return put(1, put(1, tag.encode()) + put_varint(2 << 3 | 5) + struct.pack("<f", value))


def tensor(tag, value, first):
    shaped = put(1, 1) + put(2, b"") + put(5, struct.pack("<f", value))
    return put(1, put(1, tag.encode()) + put(8, shaped) + (put(9, put(1, put(1, b"scalars"))) if first else b""))


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def flat(step):
    for key, value in step.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{name}", one) for name, one in value.items())
        elif key not in ("step", "done"):
            yield key, value


def read_table(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    names = [name.split(" [")[0] for name in rows[0]]
    return names, [{name: float(cell) for name, cell in zip(names, row) if cell} for row in rows[1:]]


def exported(folder, steps):
    session, table, events = folder / "s", folder / "curves.csv", folder / "tb"
    node("curves", "export", session, "--out", table)
    names, rows = read_table(table)
    check(names[:2] == ["step", "wall_time"], f"the columns {names}")
    check("loss [nats/token]" in table.read_text().splitlines()[0], "units in the first line")
    check([row["step"] for row in rows] == list(range(1, STEPS + 1)), "a row for each step")
    for row, step in zip(rows, steps):
        for key, value in flat(step):
            check(row.get(key) == value, f"{key} of step {step['step']}: {row.get(key)} is written, it is {value}")
    check(any("evaluation.en" in row for row in rows), "evaluations")
    made = json.loads(node("curves", "export", session, "--run", 1, "--format", "tensorboard", "--out", events, "--json").stdout)
    files = list(events.iterdir())
    check(len(files) == 1 and "tfevents" in files[0].name and made["run"] == 1, f"the files {files}")
    read = read_events(files[0])
    check(read[0][3] == "brain.Event:2" and not read[0][2], "the version comes first")
    check([event[1] for event in read[1:]] == list(range(1, STEPS + 1)), "an event for each step")
    for (wall, _, values, _), step, row in zip(read[1:], steps, rows):
        check(wall == row["wall_time"] and wall > 1.7e9, "wall times")
        for key, value in flat(step):
            tag = "train/" + key.replace(".", "/")
            check(values.get(tag) == (None if value is None else f32(value)), f"{tag} of step {step['step']}")
    check(any("eval/loss/zh" in values for _, _, values, _ in read), "evaluations by language")
    check(node("curves", "export", session, "--out", table, status=1).stderr.count("\n") == 1, "an old file stays")
    return rows


def imported(folder, rows):
    session = folder / "s"
    # What was written comes back as it was: exactly from a table, as floats from an event file.
    for source, exact in ((folder / "curves.csv", True), (folder / "tb", False)):
        run = json.loads(node("curves", "import", source, "--session", session, "--json").stdout)["runs"][0]
        again = folder / f"again-{run['run']}.csv"
        node("curves", "export", session, "--run", run["run"], "--out", again)
        names, copy = read_table(again)
        check(len(copy) == len(rows), f"{len(copy)} rows of {source}")
        for before, after in zip(rows, copy):
            for key, value in before.items():
                name = key if exact or key in ("step", "wall_time") else \
                    {"evaluation.en": "eval/loss/en", "evaluation.zh": "eval/loss/zh"}.get(key, "train/" + key.replace(".", "/"))
                same = value if exact or key in ("step", "wall_time") else f32(value)
                check(after[name] == same, f"{name} of {source}: {after.get(name)}, not {same}")
    # Two runs of a folder of logs: one as PyTorch writes it, which went back once, and one as TensorFlow does.
    logs = folder / "logs"
    for name in ("torch", "tensorflow/train"):
        (logs / name).mkdir(parents=True)
    version = put_record(put(1, 1.7e9) + put(3, b"brain.Event:2"))
    torch = [(1, 4.0), (2, 3.5), (3, 3.25), (2, 3.0), (3, math.nan)]
    (logs / "torch/events.out.tfevents.1.host.1.0").write_bytes(
        version + b"".join(put_record(put(1, 1.7e9 + step) + put(2, step) + put(5, simple("Loss/train", value)))
                           for step, value in torch))
    (logs / "tensorflow/train/events.out.tfevents.1.host.v2").write_bytes(
        version + b"".join(put_record(put(1, 1.7e9 + step) + put(2, step) + put(5, tensor("epoch_loss", 1 / (1 + step), step == 0)))
                           for step in range(5)) + b"\x10\x00")
    done = node("curves", "import", logs, "--session", session, "--name", "theirs", "--json")
    runs = {run["name"]: run for run in json.loads(done.stdout)["runs"]}
    check(set(runs) == {"theirs/torch", "theirs/tensorflow/train"}, f"the runs {runs}")
    check("not whole" in done.stderr and "went back" in done.stderr, f"the notes {done.stderr}")
    for name, expected in (("theirs/torch", {1: 4.0, 2: 3.0}), ("theirs/tensorflow/train", {s: f32(1 / (1 + s)) for s in range(5)})):
        out = folder / (name.replace("/", "-") + ".csv")
        node("curves", "export", session, "--run", runs[name]["run"], "--out", out)
        _, table = read_table(out)
        column = "Loss/train" if "torch" in name else "epoch_loss"
        check({int(row["step"]): row[column] for row in table if column in row} == expected, f"{name}: {table}")
    broken = bytearray((logs / "torch/events.out.tfevents.1.host.1.0").read_bytes())
    broken[-20] ^= 1
    (folder / "broken.tfevents").write_bytes(broken)
    runs_before = node("open", session, "--json").stdout
    error = node("curves", "import", folder / "broken.tfevents", "--session", session, status=1).stderr
    check("wrong checksum" in error and "byte" in error, error)
    check(node("open", session, "--json").stdout == runs_before, "a file that is refused adds no run")
    # The training is still the latest one, and the session opens as ever.
    kinds = [run["kind"] for run in json.loads(runs_before)["runs"]]
    check(kinds == ["train"] + 4 * ["imported"], f"the kinds {kinds}")
    check(json.loads(node("reproduce", session, "--json").stdout)["equal"], "a replay of the training")


with tempfile.TemporaryDirectory(prefix="moescope-curves-") as name:
    FOLDER = pathlib.Path(name)
    (FOLDER / "config.json").write_text(json.dumps(CONFIG))
    text = FOLDER / "text"
    text.mkdir()
    for i in range(60):
        (text / f"a{i}.txt").write_text(f"Page {i} tells of a router and its experts, of tokens and of loads. " * 8)
        (text / f"z{i}.txt").write_text(f"第{i}页讲路由器和专家，讲词元与负载，讲损失如何下降。" * 8)
    lines = node("train", "--config", FOLDER / "config.json", "--data", text, "--out", FOLDER / "s", "--json").stdout
    trained = [json.loads(line) for line in lines.splitlines()]
    imported(FOLDER, exported(FOLDER, [step for step in trained if "tokens_total" in step]))
print("curves_program: what was written is what other readers read, and comes back")
