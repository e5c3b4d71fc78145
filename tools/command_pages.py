"""The command reference, from the commands themselves: what ``--help`` knows, as the page reference/commands.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

import typer

from delineate.cli import app

PROGRAM = "delineate"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name, ``delineate train quill``, groups before what is in them."""
    yield from _below(PROGRAM, typer.main.get_command(app))


def options() -> dict[str, set[str]]:
    """The options of every command, in all their spellings: ``{"delineate segment": {"--box", "-o", ...}}``."""
    return {
        name: {"--help", *(spelling for p in command.params for spelling in (*p.opts, *p.secondary_opts))}
        for name, command in commands()
    }


def page() -> str:
    """The documentation page, in Markdown."""
    return "\n".join([_HEAD, *(_section(name, command) for name, command in commands() if name != PROGRAM)])


_HEAD = """# Commands

Made from the commands' own help. Exit codes: 0 done, 1 a case failed or something differs, 2 bad input,
130 interrupted. Results go to stdout, progress and remarks to stderr. With `--json` the result, or the error, is one
JSON value.
"""


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for word, own in getattr(command, "commands", {}).items():
        yield from _below(f"{name} {word}", own)


def _section(name: str, command: Any) -> str:
    depth = "#" * (1 + name.count(" "))
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    words = [name, *(p.name.upper() if p.required else f"[{p.name.upper()}]" for p in arguments), "[OPTIONS]"]
    words += ["COMMAND ..."] if getattr(command, "commands", None) else []
    lines = [f"{depth}# {name}", "", *_help(cleandoc(command.help or "")), "```text", " ".join(words), "```", ""]
    for title, rows in _tables(command).items():
        lines += [f"| {title} | |", "|---|---|", *(f"| {left} | {right} |" for left, right in rows), ""]
    return "\n".join(lines)


def _help(text: str) -> Iterator[str]:
    """Paragraphs of a command's help; lines that are commands become a block."""
    for paragraph in filter(None, re.split(r"\n\s*\n", text.replace("\b", ""))):
        is_block = paragraph.strip().startswith(f"{PROGRAM} ")
        yield from ("```text", cleandoc(paragraph), "```", "") if is_block else (_escaped(paragraph), "")


def _tables(command: Any) -> dict[str, list[tuple[str, str]]]:
    """Arguments and options by their heading in --help."""
    context = command.context_class(command)
    tables: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
            title = getattr(parameter, "rich_help_panel", None) or usual
            tables.setdefault(title, []).append((f"`{record[0]}`", _escaped(record[1])))
    return tables


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_\[\]<>#|])", r"\\\1", " ".join(text.split()))
