"""Options in reusable groups: a frozen dataclass a group, its fields the options, ``TITLE`` its heading in --help."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

from typer.core import TyperCommand, TyperGroup
from typer.models import ParameterInfo

from delineate.cli.examples import EXAMPLES, SECTIONS
from delineate.core.errors import InputError

if TYPE_CHECKING:
    from delineate.verbs.request import AnyRequest


_LISTED = re.compile(r"list\[(.*?)\]")  # a repeatable option takes one value each time


def grouped(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take whole groups: for a parameter that is one, the command line offers the group's fields."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if name != "return" and is_dataclass(kind)}
    parameters: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        group = groups.get(parameter.name)
        if group is None:
            parameters.append(parameter.replace(annotation=hints[parameter.name], kind=Parameter.KEYWORD_ONLY))
        else:
            parameters += _options(group)

    @wraps(command)
    def run(**given: Any) -> Any:
        filled = {name: kind(**{f.name: given.pop(f.name) for f in fields(kind)}) for name, kind in groups.items()}
        return command(**given, **filled)

    del run.__wrapped__
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def request_of(kind: type[AnyRequest], /, *groups: Any, **more: Any) -> AnyRequest:
    """A request from what was typed. Raises InputError, naming the option, for a value that it does not take."""
    from delineate.verbs.request import valid

    return valid(kind, values(*groups) | more, "Options")


def values(*groups: Any) -> dict[str, Any]:
    """All options of some groups by name, as a request takes them."""
    return {field.name: getattr(group, field.name) for group in groups for field in fields(group)}


class _Careful:
    """A command that refuses what would be understood otherwise in silence.

    An option of one value that is given twice: the last would win. A word that is empty: as a path it would mean the
    folder one is in.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        parser = self.make_parser(ctx)  # type: ignore[attr-defined]
        words, _, given = parser.parse_args(args=list(args))
        for parameter in given:
            value = words.get(parameter.name)
            if value == "" or (isinstance(value, list | tuple) and "" in value):
                raise _empty(parameter)
        for parameter, times in Counter(given).items():
            if times > 1 and parameter.param_type_name == "option" and not (parameter.multiple or parameter.is_flag):
                ctx.fail(f"{parameter.opts[0]} was given {times} times; it takes one value, and the last would win.")
        return super().parse_args(ctx, args)  # type: ignore[misc]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Examples at the end of the help, each on a line of its own."""
        lines = EXAMPLES.get(_verb(ctx), ())
        if lines:
            with formatter.section("Examples"):
                formatter.write("".join(f"{' ' * formatter.current_indent}{line}\n" for line in lines))
        super().format_epilog(ctx, formatter)  # type: ignore[misc]


def _empty(parameter: Any) -> InputError:
    option = parameter.param_type_name == "option"
    name = parameter.opts[0] if option else parameter.name
    hint = f"Leave {name} out, or say what is meant." if option else 'Name what is meant; "." is the folder you are in.'
    return InputError("E-OPTION-EMPTY", f"{name} is an empty text.", hint)


def _verb(ctx: Any) -> str:
    """The words of a command behind the program's name."""
    return "" if ctx.parent is None else f"{_verb(ctx.parent)} {ctx.info_name}".strip()


class Command(_Careful, TyperCommand):
    """A verb; its --help lists each group under its own heading."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
            if record is not None:
                name, text = record
                named = getattr(parameter, "rich_help_panel", None) or usual
                sections.setdefault(named, []).append((_LISTED.sub(r"\1", name), text))
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


class CommandGroup(_Careful, TyperGroup):
    """Verbs under one name."""


class VerbGroup(CommandGroup):
    """All verbs, in sections, each with its whole first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        left = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        for title, names in SECTIONS.items():
            rows = [(name, one.get_short_help_str(200)) for name in names if (one := left.pop(name, None)) is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        if left:
            with formatter.section("More"):
                formatter.write_dl([(name, one.get_short_help_str(200)) for name, one in left.items() if one])


class PairedCommand(Command):
    """And options that are repeatable take two values each: ``--support IMAGE MASK``. They come one after the other."""

    PAIRED = ("--support",)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spread: list[str] = []
        rest = list(args)
        while rest:
            word = rest.pop(0)
            if word not in self.PAIRED:
                spread.append(word)
                continue
            pair, rest = rest[:2], rest[2:]
            if len(pair) < 2 or any(one.startswith("--") for one in pair):
                ctx.fail(f"{word} takes two values: an image and its mask.")
            spread += [word, pair[0], word, pair[1]]
        return super().parse_args(ctx, spread)


def _options(group: Any) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    found = []
    for field in fields(group):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        default = Parameter.empty if default is MISSING else default
        annotation = _under(hints[field.name], group.TITLE)
        found.append(Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation))
    return found


def _under(annotation: Any, title: str) -> Any:
    """The same option, listed under a heading."""
    if get_origin(annotation) is not Annotated:
        return annotation
    kind, *about = get_args(annotation)
    titled = [copy(one) for one in about]
    for one in titled:
        if isinstance(one, ParameterInfo):
            one.rich_help_panel = title
    return Annotated[(kind, *titled)]
