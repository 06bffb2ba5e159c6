#!/usr/bin/env python3
"""A viewer written from docs/protocol.md alone, in another language than the node and without a line of its code.

    protocol_client.py PATH/moescope-node

Starts a node in a temporary folder, trains a tiny model on a small text and checks what the page says. One line per
check; exit status 0 when all hold. Only the standard library.
"""
from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

PATIENCE_S = 60

HEADER = struct.Struct("<IHBBQQII")  # length, type, flags, channel, sequence, time_ns, crc32c, epoch
HELLO, REFUSE, AUTH_OK, REQ, RSP, SUB, UNSUB, CREDIT = 1, 2, 3, 10, 11, 12, 13, 14
GAP, STATE, PING, PONG, BYE, DATA = 16, 17, 18, 19, 20, 0x8000
PULL, PUSH, CHUNK, RANGE = 21, 22, 23, 24
EVENTS, METRICS, TEXT = 1, 2, 3
RUN_STARTED, RUN_ENDED, EVENT, STEP, TOKENS, GENERATION_ENDED = 1, 2, 3, 10, 20, 21
LARGEST_FROM_NODE = 1 << 20
VERSION = (2, 2)


def crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = crc_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Frame(NamedTuple):
    type: int
    channel: int
    position: tuple[int, int]  # (epoch, sequence)
    body: bytes

    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


def frame_bytes(type_: int, body: bytes, damage: int = 0) -> bytes:
    crc = crc32c(HEADER.pack(len(body), type_, 0, 0, 0, 0, 0, 0) + body) ^ damage
    return HEADER.pack(len(body), type_, 0, 0, 0, 0, crc, 0) + body


def hello_bytes(major: int = VERSION[0], role: int = 1) -> bytes:
    build, features = b"protocol_client.py", b""
    return (struct.pack("<8sHHHB5x16sQ", b"MOESCOPE", major, VERSION[1], major, role, bytes(16), 0)
            + struct.pack("<H", len(build)) + build + struct.pack("<H", len(features)) + features)


FORMS = {1: "B", 2: "H", 3: "I", 4: "Q", 5: "i", 6: "q", 7: "f", 8: "d"}
STEP_FIELDS = {1: (3, "run"), 2: (4, "step"), 3: (4, "tokens_total"), 4: (2, "layers"), 5: (2, "experts"),
               6: (2, "top_k"), 7: (0x83, "counts"), 8: (0x87, "router_entropy_of_layers"), 16: (8, "loss"),
               17: (8, "cross_entropy"), 21: (8, "gradient_norm"), 22: (8, "learning_rate"),
               23: (8, "balance_coefficient"), 24: (8, "z_coefficient"), 26: (8, "step_ms"),
               29: (8, "router_entropy")}
TOKENS_FIELDS = {1: (3, "run"), 4: (2, "layers"), 6: (2, "top_k"), 16: (3, "first"), 17: (0x85, "ids"),
                 18: (0x87, "logs"), 19: (0x82, "lengths"), 20: (0x81, "text"), 21: (0x81, "alternatives"),
                 22: (0x85, "alternative_ids"), 23: (0x87, "alternative_logs"), 24: (0x82, "alternative_lengths"),
                 25: (0x81, "alternative_text"), 26: (0x81, "has_experts"), 27: (0x82, "experts")}


class Broken(Exception):
    """The node did not do what the page says."""


def need(condition: bool, what: str) -> None:
    if not condition:
        raise Broken(what)


def fields(body: bytes, known: dict[int, tuple[int, str]]) -> dict[str, Any]:
    """The known fields of a binary record by name."""
    layout, reserved, count = struct.unpack_from("<BBH", body)
    need(layout == 2 and reserved == 0, f"layout {layout}, reserved byte {reserved}")
    at, found = 4, {}
    for _ in range(count):
        tag, form = struct.unpack_from("<HB", body, at)
        at += 3
        numbers = 1
        if form & 0x80:
            (numbers,) = struct.unpack_from("<I", body, at)
            at += 4
        values = struct.Struct(f"<{numbers}{FORMS[form & 0x7F]}")
        value = values.unpack_from(body, at)
        at += values.size
        if tag in known:
            need(form == known[tag][0], f"tag {tag} has form {form:#x}")
            found[known[tag][1]] = list(value) if form & 0x80 else value[0]
    need(at == len(body), "bytes after the last field")
    return found


def texts(lengths: list[int], text: list[int]) -> list[bytes]:
    ends = list(itertools.accumulate(lengths, initial=0))
    need(ends[-1] == len(text), "the lengths do not add up to the text")
    return [bytes(text[a:b]) for a, b in itertools.pairwise(ends)]


class Gone(Exception):
    """The other side ended the connection."""


class Viewer:
    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(path))
        self.buffer = b""
        self.frames: list[Frame] = []  # came, not yet taken
        self.ids: list[str] = []
        self.owed = {EVENTS: 0, METRICS: 0, TEXT: 0}  # bytes read and not given back as credit
        self.last = {EVENTS: (0, 0), METRICS: (0, 0), TEXT: (0, 0)}

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, type_: int, body: bytes = b"", damage: int = 0) -> None:
        self.socket.sendall(frame_bytes(type_, body, damage))

    def read(self) -> Frame:
        """The next frame but PING and PONG. Gone at the end of the stream, TimeoutError after PATIENCE_S."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            while len(self.buffer) < HEADER.size or len(self.buffer) < HEADER.size + HEADER.unpack_from(self.buffer)[0]:
                if (left := deadline - time.monotonic()) <= 0:
                    raise TimeoutError
                self.socket.settimeout(left)
                piece = self.socket.recv(1 << 16)
                if not piece:
                    raise Gone
                self.buffer += piece
            header = self.buffer[:HEADER.size]
            length, type_, flags, channel, sequence, _, crc, epoch = HEADER.unpack(header)
            need(length <= LARGEST_FROM_NODE, f"a body of {length} bytes")
            body = self.buffer[HEADER.size:HEADER.size + length]
            self.buffer = self.buffer[HEADER.size + length:]
            need(crc == crc32c(header[:24] + bytes(4) + header[28:] + body), f"checksum of a frame of type {type_}")
            if type_ == PING:
                self.send(PONG, body)
                continue
            if type_ == PONG:
                continue
            frame = Frame(type_, channel, (epoch, sequence), body)
            if type_ >= DATA:
                need(frame.position > self.last[channel], "records out of order")
                self.last[channel] = frame.position
                self.owed[channel] += HEADER.size + length
                if self.owed[channel] > 1 << 20:
                    self.send(CREDIT, struct.pack("<B3xI", channel, self.owed[channel]))
                    self.owed[channel] = 0
            else:
                known = (HELLO, REFUSE, AUTH_OK, RSP, GAP, STATE, BYE, CHUNK, RANGE)
                need(type_ in known or flags & 1 == 1, f"a frame of the unknown type {type_}")
            return frame

    def wait(self, what: str, fits: Callable[[Frame], bool]) -> Frame:
        """Takes the first frame that fits, of those that came before too."""
        for i, frame in enumerate(self.frames):
            if fits(frame):
                return self.frames.pop(i)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                frame = self.read()
            except (Gone, TimeoutError) as error:
                raise Broken(f"waited in vain for {what}: {type(error).__name__}") from error
            if fits(frame):
                return frame
            self.frames.append(frame)
        raise Broken(f"waited in vain for {what}")

    def ended_with(self, type_: int) -> bytes:
        """The body of the last frame; then the stream has to end."""
        body = self.wait(f"a frame of type {type_}", lambda frame: frame.type == type_).body
        try:
            while True:
                self.read()
        except (Gone, ConnectionResetError):
            return body

    def greet(self) -> dict[str, Any]:
        self.send(HELLO, hello_bytes())
        body = self.wait("HELLO", lambda frame: frame.type == HELLO).body
        magic, major, minor, oldest, role, node_id, epoch = struct.unpack_from("<8sHHHB5x16sQ", body)
        at, said = struct.calcsize("<8sHHHB5x16sQ"), []
        for _ in range(2):
            (length,) = struct.unpack_from("<H", body, at)
            said.append(body[at + 2:at + 2 + length].decode())
            at += 2 + length
        self.wait("AUTH_OK", lambda frame: frame.type == AUTH_OK)
        return {"magic": magic, "version": (major, minor), "oldest": oldest, "role": role, "node_id": node_id,
                "epoch": epoch, "build": said[0], "features": said[1].split(",")}

    def ask(self, command: str, parameters: dict[str, Any] | None = None, id_: str = "") -> dict[str, Any]:
        id_ = id_ or f"{random.getrandbits(128):032x}"
        self.send(REQ, json.dumps({"id": id_, "command": command, "parameters": parameters or {}}).encode())
        ours = self.wait(f"an answer to {command}", lambda frame: frame.type == RSP and frame.json()["id"] == id_)
        return ours.json()

    def done(self, command: str, parameters: dict[str, Any] | None = None, id_: str = "") -> dict[str, Any]:
        answer = self.ask(command, parameters, id_)
        need(answer["state"] == "done", f"{command}: {answer}")
        return answer["value"]

    def failed(self, command: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self.ask(command, parameters)
        need(answer["state"] == "failed" and answer["error"] != "", f"{command} should have failed: {answer}")
        return answer

    def subscribe(self, channel: int, after: tuple[int, int] = (0, 0)) -> None:
        self.last[channel] = after
        self.send(SUB, struct.pack("<B3xIQ", channel, *after))

    def record(self, what: str, type_: int, fits: Callable[[Frame], bool] = lambda frame: True) -> Frame:
        return self.wait(what, lambda frame: frame.type == DATA + type_ and fits(frame))

    def event(self, kind: str, **values: Any) -> dict[str, Any]:
        values["kind"] = kind
        return self.record(f"event {kind}", EVENT, lambda frame: values.items() <= frame.json().items()).json()

    def step(self, number: int) -> dict[str, Any]:
        step = fields(self.record(f"step {number}", STEP).body, STEP_FIELDS)
        need(step["step"] == number, f"step {step['step']} came where {number} was next")
        return step


MODEL = {"vocabulary": 320, "width": 16, "layers": 2, "heads": 2, "kv_heads": 1, "head_width": 8, "experts": 4,
         "experts_per_token": 2, "expert_width": 16, "context": 32}
TRAIN = {"batch": 2, "steps": 100, "warmup_steps": 0, "evaluate_every": 1000, "sample_every": 1000,
         "checkpoint_every": 0, "threads": 1, "balance": "batch", "balance_coefficient": 0.25}
CONFIG = {"name": "tiny", "model": MODEL, "train": TRAIN}
TOKENS_OF_STEP = TRAIN["batch"] * MODEL["context"]


def write_text(path: Path) -> None:
    words = random.Random(1)
    who, does, what = ("The router", "An expert", "A token"), ("sends", "reads", "opens"), ("a line", "the page")
    lines = (f"{words.choice(who)} {words.choice(does)} {words.choice(what)}." for _ in range(1500))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Checks:
    def __init__(self, folder: Path, socket_path: Path) -> None:
        self.folder, self.path = folder, socket_path
        self.run = 0

    def greeting(self) -> str:
        with Viewer(self.path) as viewer:
            hello = viewer.greet()
        need(hello["magic"] == b"MOESCOPE" and hello["role"] == 0, f"the node's HELLO: {hello}")
        need(hello["version"] == VERSION, f"the node speaks {hello['version']}, the page says {VERSION}")
        need(any(hello["node_id"]) and hello["epoch"] >= 1, "node id and epoch are set")
        need("train" in hello["features"], f"features {hello['features']}")
        return f"protocol {hello['version'][0]}.{hello['version'][1]}, build {hello['build']}"

    def refusals(self) -> str:
        for greeting, code in ((hello_bytes(major=1), 1), (hello_bytes(role=0), 4), (b"GET / HTTP/1.1", 4)):
            with Viewer(self.path) as viewer:
                viewer.send(HELLO, greeting)
                body = viewer.ended_with(REFUSE)
                need(struct.unpack_from("<HHH", body) == (code, *VERSION), f"REFUSE {body!r}")
        return "another major, another node, no Moescope: codes 1, 4, 4"

    def broken_rules(self) -> str:
        upper = json.dumps({"id": "A" * 32, "command": "catalogue"}).encode()
        deep = b'{"id":"' + b"0" * 32 + b'","command":"catalogue","parameters":' + b'{"a":' * 16 + b"1" + b"}" * 17
        for type_, body, damage, said in ((REQ, upper, 0, b"32"), (REQ, deep, 0, b"16 levels"), (99, b"", 0, b"99"),
                                          (PING, bytes(8), 1, b"checksum"), (CREDIT, bytes(8), 0, b"channel"),
                                          (REQ, bytes((64 << 10) + 1), 0, b"65536")):
            with Viewer(self.path) as viewer:
                viewer.greet()
                viewer.send(type_, body, damage)
                need(said in (bye := viewer.ended_with(BYE)), f"BYE says {bye!r}, not {said!r}")
        with Viewer(self.path) as viewer:
            viewer.greet()
            viewer.subscribe(METRICS)
            viewer.send(CREDIT, struct.pack("<B3xI", METRICS, 64 << 20))
            need(b"credit" in viewer.ended_with(BYE), "more than 64 MiB of credit")
        return "id, levels, type, checksum, channel, length, credit: BYE"

    def catalogue(self) -> str:
        with Viewer(self.path) as viewer:
            viewer.greet()
            catalogue = viewer.done("catalogue")
        need({"presets", "probe_sets", "prompts", "datasets", "config_fields"} <= catalogue.keys(), "keys")
        live = {field["key"] for field in catalogue["config_fields"] if "live" in field}
        page = {"learning_rate", "experts_per_token", "capacity_factor", "balance_coefficient", "z_coefficient",
                "bias_update_rate", "prediction_coefficient"}
        need(live == page, f"the catalogue and the page differ in {sorted(live ^ page)}")
        return f"{len(catalogue['presets'])} presets, {len(catalogue['config_fields'])} settings, {len(live)} live"

    def sentences(self) -> str:
        bad = self.folder / "bad.gguf"
        bad.write_bytes(b"GGUF and then nothing that fits")
        with Viewer(self.path) as viewer:
            viewer.greet()
            answer = viewer.failed("no.such")
            sentence = answer["error_id"]
            need(sentence["id"].replace("{}", sentence["arguments"][0]) == answer["error"], f"{answer}")
            need("no.such" in sentence["arguments"], f"{answer}")
            report = viewer.done("models.inspect", {"path": str(bad)})
        need(report["safe"] is False and report["problem"] != "", f"{report}")
        return f"error_id {sentence['id']!r}; a bad file is done, safe: false"

    def training(self) -> str:
        text = self.folder / "text.txt"
        write_text(text)
        with Viewer(self.path) as viewer:
            viewer.greet()
            viewer.subscribe(EVENTS)
            viewer.subscribe(METRICS)
            start = {"config": CONFIG, "data": str(text), "paused": True, "seed": 3}
            self.run = viewer.done("train.start", start)["run"]
            viewer.wait("the paused run in STATE", self.in_state("paused"))
            viewer.done("train.step", {"run": self.run, "count": 3})
            steps = [viewer.step(number) for number in (1, 2, 3)]
            started = viewer.record("run_started", RUN_STARTED).json()
        need(started["run"] == self.run and started["kind"] == "train", f"{started}")
        for number, step in enumerate(steps, 1):
            self.check_step(step)
            need(step["tokens_total"] == number * TOKENS_OF_STEP, f"{step['tokens_total']} tokens in {number} steps")
        return f"3 steps, cross-entropy {steps[0]['cross_entropy']:.3f} of log {MODEL['vocabulary']}"

    def in_state(self, state: str) -> Callable[[Frame], bool]:
        return lambda frame: frame.type == STATE and any(
            run["run"] == self.run and run["state"] == state for run in frame.json().get("runs", ()))

    def check_step(self, step: dict[str, Any]) -> None:
        need(step["run"] == self.run, f"run {step['run']}")
        shape = (step["layers"], step["experts"], step["top_k"])
        need(shape == (MODEL["layers"], MODEL["experts"], MODEL["experts_per_token"]), f"shape {shape}")
        need(len(step["counts"]) == 2 * shape[0] * shape[1], "size of counts")
        for layer in range(shape[0]):
            routed = sum(sum(step["counts"][(language * shape[0] + layer) * shape[1]:][:shape[1]])
                         for language in range(2))
            need(routed == TOKENS_OF_STEP * shape[2], f"layer {layer} routed {routed} tokens")
        mean = sum(step["router_entropy_of_layers"]) / shape[0]
        need(0 < mean <= 1.0001 and math.isclose(mean, step["router_entropy"], rel_tol=1e-4), "router entropy")
        need(abs(step["cross_entropy"] - math.log(MODEL["vocabulary"])) < 1.5, f"cross-entropy {step['cross_entropy']}")
        need(step["loss"] > step["cross_entropy"] and step["gradient_norm"] > 0 and step["step_ms"] > 0, f"{step}")
        need(step["learning_rate"] > 0, "learning rate")

    def knobs(self) -> str:
        with Viewer(self.path) as viewer:
            viewer.greet()
            viewer.subscribe(EVENTS)
            viewer.subscribe(METRICS)
            steps = [viewer.step(number) for number in (1, 2, 3)]
            need(steps[-1]["balance_coefficient"] == 0.25, "the coefficient of the configuration")
            first = viewer.done("train.set", {"run": self.run, "balance_coefficient": 0.5})["step"]
            need(first == 4, f"a knob turned after step 3 acts on step {first}")
            event = viewer.event("knob")
            need((event["run"], event["step"], event["name"], event["old"], event["new"]) ==
                 (self.run, 4, "balance_coefficient", 0.25, 0.5), f"{event}")
            viewer.done("train.step", {"run": self.run})
            need(viewer.step(4)["balance_coefficient"] == 0.5, "step 4 has the new coefficient")

            # Of two values one is out of range: neither is taken, whichever of them is looked at first.
            for bad in ({"balance_coefficient": 0.125, "z_coefficient": 99},
                        {"balance_coefficient": 99, "z_coefficient": 0.125}):
                viewer.failed("train.set", {"run": self.run, **bad})
            z = steps[-1]["z_coefficient"]
            viewer.done("train.step", {"run": self.run})
            step = viewer.step(5)
            need((step["balance_coefficient"], step["z_coefficient"]) == (0.5, z), "half of a refused command acts")
            viewer.done("train.set", {"run": self.run, "balance_coefficient": 0.125, "z_coefficient": 0.0625})
            viewer.done("train.step", {"run": self.run})
            step = viewer.step(6)
            need((step["balance_coefficient"], step["z_coefficient"]) == (0.125, 0.0625), "both act")
            names = {viewer.event("knob")["name"], viewer.event("knob")["name"]}
            need(names == {"balance_coefficient", "z_coefficient"}, f"events of refused commands: {names}")
            need(not any(frame.type == DATA + EVENT and frame.json()["kind"] == "knob" for frame in viewer.frames),
                 "more knob events than values")
            viewer.failed("train.set", {"run": self.run, "width": 32})
            viewer.failed("train.set", {"run": self.run})
        return "one value, two refused whole, two taken together"

    def cut(self) -> str:
        id_ = f"{random.getrandbits(128):032x}"
        viewer = Viewer(self.path)
        viewer.greet()
        viewer.subscribe(METRICS)
        for number in range(1, 7):
            viewer.step(number)
        position = viewer.last[METRICS]
        viewer.done("train.step", {"run": self.run, "count": 2}, id_)
        viewer.step(7)  # comes, and is forgotten: this viewer's position is still that of step 6
        viewer.socket.close()
        with Viewer(self.path) as again:
            again.greet()
            # The same id once more gives the same answer and does nothing.
            again.done("train.step", {"run": self.run, "count": 2}, id_)
            again.subscribe(METRICS, position)
            numbers = [again.step(number)["step"] for number in (7, 8)]
            again.done("train.step", {"run": self.run})
            need(again.step(9)["tokens_total"] == 9 * TOKENS_OF_STEP, "one step after the resent two")
            again.subscribe(METRICS, (position[0] + 1000, 1))
            gap = again.wait("GAP", lambda frame: frame.type == GAP)
            need(gap.channel == METRICS and gap.json()["from"] == 1 and gap.json()["reason"] != "", f"{gap}")
            again.send(UNSUB, bytes([METRICS]))
        return f"steps {numbers} after (epoch, sequence) {position}; a resent command is done once; GAP"

    def experts(self) -> str:
        with Viewer(self.path) as viewer:
            viewer.greet()
            viewer.subscribe(EVENTS)
            viewer.subscribe(METRICS)
            one = {"run": self.run, "layer": 1, "expert": 2}
            need(viewer.done("train.expert", {**one, "action": "disable"})["step"] == 10, "acts on step 10")
            event = viewer.event("expert", name="disable")
            need((event["step"], event["layer"], event["expert"]) == (10, 1, 2), f"{event}")
            viewer.failed("train.expert", {**one, "action": "praise"})
            viewer.done("train.step", {"run": self.run})
            for number in range(1, 11):
                step = viewer.step(number)
            layers, experts = step["layers"], step["experts"]
            need(all(step["counts"][(language * layers + 1) * experts + 2] == 0 for language in range(2)), "counts")
            viewer.done("train.expert", {**one, "action": "enable"})
        return "a disabled expert gets no tokens"

    def fork(self) -> str:
        with Viewer(self.path) as viewer:
            viewer.greet()
            viewer.subscribe(EVENTS)
            viewer.done("train.checkpoint", {"run": self.run})
            viewer.event("checkpoint", run=self.run, step=10)
            config = {**CONFIG, "model": {**MODEL, "router_scoring": "sigmoid"}}
            parameters = {"run": self.run, "step": 10, "config": config, "name": "branch", "paused": True}
            run = viewer.done("train.fork", parameters)["run"]
            need(run != self.run, "a fork is a run of its own")
            started = viewer.record("run_started", RUN_STARTED, lambda frame: frame.json()["run"] == run).json()
            need(started["manifest"]["config"]["model"]["router_scoring"] == "sigmoid", "the fork's configuration")
            viewer.failed("train.fork", {**parameters, "step": 5})
            viewer.failed("train.fork", {**parameters, "run": 99})
            viewer.done("train.stop", {"run": run})
            viewer.record("the fork's end", RUN_ENDED, lambda frame: frame.json()["run"] == run)
        return f"run {run} from run {self.run} at step 10"

    def generation(self) -> str:
        with Viewer(self.path) as viewer:
            viewer.greet()
            viewer.subscribe(TEXT)
            order = {"model": f"checkpoint:{self.run}", "prompt": "The ", "group": "g", "max_tokens": 8,
                     "temperature": 0, "alternatives": 3, "chat": False, "threads": 1}
            viewer.failed("generate.start", {**order, "system": "Be brief."})  # needs the chat template
            run = viewer.done("generate.start", order)["run"]
            ended = viewer.record("generation_ended", GENERATION_ENDED, lambda frame: frame.json()["run"] == run)
            need(ended.json()["state"] == "done", f"{ended.json()}")
            need(ended.json()["shown"] == "The ", "what the model read")
            batches = [fields(frame.body, TOKENS_FIELDS) for frame in viewer.frames if frame.type == DATA + TOKENS]
        answer, count = b"", 0
        for batch in batches:
            number = len(batch["ids"])
            need((batch["run"], batch["first"]) == (run, count), "batches in order")
            need(len(batch["logs"]) == len(batch["alternatives"]) == len(batch["has_experts"]) == number, "columns")
            need(all(log <= 1e-6 for log in batch["logs"]), "log-probabilities")
            answer += b"".join(texts(batch["lengths"], batch["text"]))
            candidates = texts(batch["alternative_lengths"], batch["alternative_text"])
            need(len(candidates) == len(batch["alternative_ids"]) == sum(batch["alternatives"]) == 3 * number, "three")
            need(batch["alternative_ids"][::3] == batch["ids"], "at temperature 0 the likeliest is chosen")
            each = batch["layers"] * batch["top_k"]
            need(len(batch["experts"]) == sum(batch["has_experts"]) * each, "chosen experts")
            count += number
        need(count == ended.json()["tokens"] == 8, f"{count} tokens came, {ended.json()['tokens']} were made")
        # JSON has a replacement character where the bytes are no text.
        told = ended.json()["text"].encode("ascii", "ignore")
        need(told == answer.decode("ascii", "ignore").encode(), f"{told!r} and {answer!r}")
        return f"{count} tokens in {len(batches)} records with three alternatives each"

    def files(self) -> str:
        content = random.Random(2).randbytes(150_000)
        sha256 = hashlib.sha256(content).hexdigest()
        files = [{"path": "data.bin", "bytes": len(content)}]
        what = {"name": "data.bin", "version": "1", "folder": False, "files": files}

        def order(number: int, object_: str, offset: int, length: int) -> bytes:
            return struct.pack("<IIQI4x16s", number, 0, offset, length, bytes.fromhex(object_))

        def ended(viewer: Viewer, number: int) -> tuple[int, str]:
            body = viewer.wait("RANGE", lambda frame: frame.type == RANGE and frame.body[:4] == struct.pack("<I", number)).body
            return body[4], body[8:40].hex()

        with Viewer(self.path) as viewer:
            need("files" in viewer.greet()["features"], "the feature is named")
            object_ = viewer.done("files.receive", {"name": "deep/data.bin", "object": what})["object"]
            for number, hash_ in ((1, bytes(32)), (2, bytes.fromhex(sha256))):  # one that is wrong, and again
                viewer.send(PUSH, order(number, object_, 0, len(content)) + hash_)
                for at in range(0, len(content), 61_440):
                    viewer.send(CHUNK, struct.pack("<I4xQ", number, at) + content[at:at + 61_440])
                need(ended(viewer, number)[0] == (2 if number == 1 else 0), "what became of the range")
            done = viewer.done("files.finish", {"object": object_, "sha256": [sha256]})
            need(done["whole"] is True and Path(done["path"]).read_bytes() == content, f"{done}")
            need({"path": "deep/data.bin", "bytes": len(content)} in viewer.done("files.list")["files"], "it is listed")
            opened = viewer.done("files.open", {"path": done["path"]})
            need(opened["files"] == files and not opened["folder"], f"{opened}")
            viewer.send(PULL, order(3, opened["object"], 1000, 140_000))
            pieces = b""
            while len(pieces) < 140_000:
                body = viewer.wait("CHUNK", lambda frame: frame.type == CHUNK).body
                need(struct.unpack_from("<I4xQ", body) == (3, 1000 + len(pieces)), "the next piece")
                pieces += body[16:]
            need(pieces == content[1000:141_000], "the bytes")
            need(ended(viewer, 3) == (0, hashlib.sha256(pieces).hexdigest()), "their hash")
            need(viewer.done("files.hash", {"object": opened["object"], "file": 0})["sha256"] == sha256, "the whole")
            Path(done["path"]).write_bytes(b"another")
            viewer.send(PULL, order(4, opened["object"], 0, 10))
            need(ended(viewer, 4)[0] == 3, "a file that has changed")
            viewer.done("files.close", {"object": opened["object"]})
            viewer.send(PULL, order(5, opened["object"], 0, 10))
            need(ended(viewer, 5)[0] == 3, "an object that is closed")
        with Viewer(self.path) as viewer:
            viewer.greet()
            viewer.send(CHUNK, struct.pack("<I4xQ", 9, 0) + b"x")
            need(b"next one" in viewer.ended_with(BYE), "a piece that nobody waits for")
        return "sent in pieces, one refused for its hash; a part fetched; changed and closed ones told"

    def stored(self) -> str:
        """Frames that are kept in the repository, for what this node does not send: chosen experts."""
        golden = Path(__file__).parent / "protocol" / "golden"
        bodies = {}
        for name in ("step", "tokens"):
            data = (golden / f"record_{name}.bin").read_bytes()
            length, _, _, _, _, _, crc, _ = HEADER.unpack_from(data)
            need(len(data) == HEADER.size + length, f"length of {name}")
            need(crc == crc32c(data[:24] + bytes(4) + data[28:]), f"checksum of {name}")
            bodies[name] = data[HEADER.size:]
        step, tokens = fields(bodies["step"], STEP_FIELDS), fields(bodies["tokens"], TOKENS_FIELDS)
        need(len(step["counts"]) == 2 * step["layers"] * step["experts"], "size of counts")
        need(texts(tokens["lengths"], tokens["text"]) == [b"\xe4\xb8", b" end"], f"{tokens}")
        need(texts(tokens["alternative_lengths"], tokens["alternative_text"]) == [b"\xe4\xb8", b""], f"{tokens}")
        need(tokens["alternatives"] == [2, 0] and tokens["has_experts"] == [1, 0], f"{tokens}")
        need((tokens["layers"], tokens["top_k"], tokens["experts"]) == (2, 2, [0, 3, 65535, 1]), f"{tokens}")
        return "half a character, alternatives and experts of one token of two"

    def stopping(self) -> str:
        with Viewer(self.path) as viewer:
            viewer.greet()
            viewer.subscribe(EVENTS)
            viewer.done("train.stop", {"run": self.run})
            ended = viewer.record("run_ended", RUN_ENDED, lambda frame: frame.json()["run"] == self.run).json()
            need(ended["state"] == "stopped" and ended["step"] == 10, f"{ended}")
            viewer.done("node.stop")
            bye = viewer.ended_with(BYE)
        return f"run stopped at step 10, BYE {bye.decode()!r}"


def wait_for_socket(node: subprocess.Popen[bytes], path: Path) -> None:
    """Until the node listens; the wait between two tries ends early when the node does."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            Viewer(path).socket.close()
            return
        except OSError:
            pass
        try:
            raise Broken(f"the node ended with status {node.wait(0.02)}")
        except subprocess.TimeoutExpired:
            pass
    raise Broken(f"no node listens at {path}")


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="moescope-") as name:  # mode 700, as the socket's folder has to be
        folder, path = Path(name), Path(name) / "node"
        environment = {**os.environ, "MOESCOPE_CACHE": str(folder / "cache"), "XDG_DATA_HOME": str(folder / "data")}
        node = subprocess.Popen([sys.argv[1], "serve", "--socket", str(path), "--session", str(folder / "session")],
                                env=environment, stdin=subprocess.DEVNULL)
        good, name = False, "start"
        try:
            wait_for_socket(node, path)
            checks = Checks(folder, path)
            for check in (checks.greeting, checks.refusals, checks.broken_rules, checks.catalogue, checks.sentences,
                          checks.training, checks.knobs, checks.cut, checks.experts, checks.fork, checks.generation,
                          checks.files, checks.stored, checks.stopping):
                name = check.__name__
                print(f"ok    {name}: {check()}", flush=True)
            status = node.wait(PATIENCE_S)
            need(status == 0, f"the node ended with status {status}")
            good = True
        except Exception as error:  # whatever it is, say which check it was and where
            lines = [part.lineno for part in traceback.extract_tb(error.__traceback__) if part.name != "need"]
            print(f"FAIL  {name}: {type(error).__name__}: {error} (line {lines[-1]})", flush=True)
        finally:
            if node.poll() is None:
                node.kill()
                node.wait()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
