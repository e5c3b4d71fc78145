"""Options in the order they were typed: a prompt belongs to the --label and --frame before it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from delineate.cli.groups import Command

LINES: Final = ("--scribble", "--neg-scribble", "--lasso")  # options that take all coordinates behind them
_PLACE: Final = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?(,[-+]?[\d.]+(e[-+]?\d+)?){1,2}", re.IGNORECASE)
_KEY: Final = "delineate.typed"
Typed = tuple[tuple[str, str], ...]  # names of options, without dashes, and values


class OrderedCommand(Command):
    """And it knows in which order options that may come several times came; lines are written ``x,y x,y x,y``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        args = _joined(args)
        values, rest, order = self.make_parser(ctx).parse_args(args=list(args))
        left = {name: list(given) for name, given in values.items() if isinstance(given, list)}
        seen: defaultdict[str, int] = defaultdict(int)
        found = []
        for parameter in order:
            if parameter.param_type_name == "option" and parameter.multiple:
                found.append((parameter.opts[0].lstrip("-"), str(left[parameter.name][seen[parameter.name]])))
                seen[parameter.name] += 1
        ctx.meta[_KEY] = tuple(found)
        if rest:
            ctx.fail("One scan at a time is taken here; several: delineate batch.")
        return super().parse_args(ctx, args)


def typed(ctx: Any) -> Typed:
    """Options of an OrderedCommand that may come several times, as they came."""
    found: Typed = ctx.meta.get(_KEY, ())
    return found


def _joined(args: Sequence[str]) -> list[str]:
    """Arguments in which all places behind an option for lines are one value."""
    joined: list[str] = []
    line = False
    for word in args:
        if line and _PLACE.fullmatch(word) and joined[-1] not in LINES:
            joined[-1] += f" {word}"
            continue
        line = word.split("=")[0] in LINES or (line and bool(joined) and joined[-1] in LINES)
        joined.append(word)
    return joined
