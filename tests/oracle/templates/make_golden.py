#!/usr/bin/env python3
"""What Python's jinja2 makes of the published chat templates of the pinned llama.cpp, set up as transformers sets it up.

    make_golden.py FOLDER_OF_TEMPLATES OUT.json        (needs jinja2; tried with 3.1.6)

Each template renders three conversations, with the prompt for an answer at the end. A template that refuses one has
{"refused": what it says} instead of the text; one that jinja2 cannot render {"fails": the exception}.
"""
import datetime
import hashlib
import json
import pathlib
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

DATE = "2026-01-01"
BEGIN, END = "<s>", "</s>"
USER = {"role": "user", "content": "  Who are you? 你是谁？ \n"}
SYSTEM = {"role": "system", "content": "Answer in one sentence.\nBe kind."}
ASSISTANT = {"role": "assistant", "content": "I am a model."}
AGAIN = {"role": "user", "content": "Who made you?"}
CONVERSATIONS = {"one": [USER], "system": [SYSTEM, USER], "three": [USER, ASSISTANT, AGAIN]}


class Refused(Exception):
    pass


class GenerationTag(jinja2.ext.Extension):
    """{% generation %}: marks the assistant's words for training; renders its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, jinja2.ext.loopcontrols])

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise Refused(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.datetime.fromisoformat(DATE).strftime(form)
    return env


def rendered(env, source, messages):
    try:
        return env.from_string(source).render(
            messages=messages, tools=None, documents=None, add_generation_prompt=True, bos_token=BEGIN, eos_token=END)
    except Refused as error:
        return {"refused": str(error)}
    except Exception as error:  # noqa: BLE001 whatever a template does
        return {"fails": f"{type(error).__name__}: {error}"}


def main():
    folder, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    env = environment()
    templates = {}
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        entry = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for name, messages in CONVERSATIONS.items():
            entry[name] = rendered(env, source, messages)
        templates[path.name] = entry
    golden = {"jinja2": jinja2.__version__, "date": DATE, "begin": BEGIN, "end": END,
              "conversations": CONVERSATIONS, "templates": templates}
    out.write_text(json.dumps(golden, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


main()
