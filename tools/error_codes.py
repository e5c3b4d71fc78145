"""Every error and notice code of the source, with its texts: the page reference/codes.md is made from this.

A code is the first argument of a call, or the first member of a tuple, followed by the message and, for an error, by
the hint; or a function is given it as its parameter ``code`` for what it raises. What is filled in when the program
runs stands in the texts as ``‹name›``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

CARRIED = "code"  # the parameter by which a function is given the code of what it raises
SOURCE = Path(__file__).resolve().parents[1] / "src"
CODE = re.compile(r"[EW]-[A-Z0-9-]+")
KINDS = {
    "InputError": "a file that cannot be read, or is not what it says it is",
    "GeometryError": "a scan whose place in space is missing, broken or contradictory",
    "PromptError": "a prompt that does not fit the scan",
    "OutputError": "a result that cannot be written where it was asked for",
    "ModelError": "a model, a checkpoint or a setting of one that does not fit",
    "MissingExtraError": "optional packages that are not installed",
    "RefusalError": "a request that the server does not answer",
    "DelineateError": "an error of another library or of the system, put into words",
    "StopRecord": "why a run ended early; what was done until then is kept",
    "Notice": "told once and kept in the manifest; the work goes on",
}


@dataclass(frozen=True)
class Place:
    """One place in the source that gives a code: the kind of error, its message, its hint ("" without one)."""

    code: str
    kind: str
    message: str
    hint: str
    file: Path
    line: int


@dataclass(frozen=True)
class Module:
    """The syntax tree of a file."""

    tree: ast.Module

    def function_around(self, node: ast.AST) -> Sequence[ast.AST]:
        """All that stands in the innermost function around a node; nothing outside functions."""
        return self._inside.get(id(node), ())

    def constants(self, name: str) -> Iterator[ast.expr]:
        """What a name is set to at the top of the module, with or without a type."""
        for statement in self.tree.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            value = getattr(statement, "value", None)
            if value is not None and any(isinstance(t, ast.Name) and t.id == name for t in targets):
                yield value

    @cached_property
    def _inside(self) -> dict[int, Sequence[ast.AST]]:
        functions = (n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
        bodies = [list(ast.walk(function)) for function in functions]  # outer ones first
        return {id(node): body for body in bodies for node in body}


def places(source: Path = SOURCE) -> Iterator[Place]:
    """Every place that gives a code, file by file."""
    modules = {file: Module(ast.parse(file.read_text())) for file in sorted(source.rglob("*.py"))}
    carriers: dict[str, list[tuple[Module, ast.Call]]] = {}
    for module in modules.values():
        for name, raised in _carried(module):
            carriers.setdefault(name, []).append((module, raised))
    for file, module in modules.items():
        for node in ast.walk(module.tree):
            for code, where, error in _given(node, module, carriers):
                members = _members(error)
                texts = [" / ".join(_templates(text, where)) for text in members[1:3]] + ["", ""]
                yield Place(code, _kind(error), texts[0], texts[1], file.relative_to(source), node.lineno)  # type: ignore[attr-defined]


def mentioned(source: Path = SOURCE) -> set[str]:
    """Every string of the source that is a code, wherever it stands."""
    strings = (
        node.value
        for file in source.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return {text for text in strings if CODE.fullmatch(text)}


def page() -> str:
    """The documentation page, in Markdown."""
    by_code: dict[str, list[Place]] = {}
    for place in places():
        by_code.setdefault(place.code, []).append(place)
    errors = {code: own for code, own in sorted(by_code.items()) if code.startswith("E-")}
    notices = {code: own for code, own in sorted(by_code.items()) if code.startswith("W-")}
    parts = [_HEAD.format(errors=len(errors), notices=len(notices)), "## Errors\n"]
    parts += [_entry(code, own) for code, own in errors.items()]
    parts += ["## Notices\n", _NOTICES]
    parts += [_entry(code, own) for code, own in notices.items()]
    return "\n".join(parts)


_HEAD = """# Error and notice codes

Made from the source: {errors} errors and {notices} notices. An error stops the command with exit code 2 and is printed
as `Error [CODE]: message`, with what to do below it; with `--json` as an object of `error`, `message` and `hint`.
In Python it is a `delineate.DelineateError` with `code`, `message` and `hint`. What stands in ‹ › is filled in.
"""
_NOTICES = "A notice is reported once, and kept in the manifest under `notices`. The work goes on.\n"


def _entry(code: str, own: Sequence[Place]) -> str:
    """One code: its kinds, its messages and what to do about it."""
    kinds = sorted({KINDS.get(place.kind, place.kind) for place in own})
    messages = dict.fromkeys(_escaped(place.message) for place in own)
    hints = dict.fromkeys(_escaped(place.hint) for place in own if place.hint)
    lines = [f"### {code}", "", f"*{'; '.join(kinds)}*", "", *(f"- {text}" for text in messages), ""]
    if hints:
        lines += ["**What to do**", "", *(f"- {text}" for text in hints), ""]
    files = dict.fromkeys(place.file.as_posix() for place in own)
    return "\n".join([*lines, "Given in " + ", ".join(f"`{file}`" for file in files), ""])


def _escaped(text: str) -> str:
    """Text that Markdown leaves alone, on one line."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", " ".join(text.split())) or "‹text›"


def _carried(module: Module) -> Iterator[tuple[str, ast.Call]]:
    """Errors with a code that the function around them takes as its parameter ``code``, by that function's name."""
    for function in ast.walk(module.tree):
        if isinstance(function, ast.FunctionDef) and any(p.arg == CARRIED for p in function.args.args):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and node.args[:1] and ast.unparse(node.args[0]) == CARRIED:
                    yield function.name, node


def _given(
    node: ast.AST, module: Module, carriers: dict[str, list[tuple[Module, ast.Call]]]
) -> Iterator[tuple[str, Module, ast.Call | ast.Tuple]]:
    """The codes that a node gives, each with the error that is made and the module it is made in."""
    if isinstance(node, ast.Call | ast.Tuple):
        members = _members(node)
        code = _code(members, module)
        if code:
            yield code, module, node
    codes, name = [], ""
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).rsplit(".", 1)[-1]
        codes = [_constant(value, module) for value in (*node.args, *(k.value for k in node.keywords))]
    elif isinstance(node, ast.FunctionDef):
        name, codes = node.name, [_constant(value, module) for value in node.args.defaults]
    for given in filter(None, codes):
        if CODE.fullmatch(given):
            yield from ((given, where, error) for where, error in carriers.get(name, ()))


def _members(node: ast.Call | ast.Tuple) -> Sequence[ast.expr]:
    """Code, message and hint, in this order, of a call or a tuple; a call may name them."""
    if isinstance(node, ast.Tuple):
        return node.elts
    named = {keyword.arg: keyword.value for keyword in node.keywords}
    return node.args or [named[name] for name in ("code", "message", "hint") if name in named]


def _code(members: Sequence[ast.expr], module: Module) -> str | None:
    """The code that a message follows: written there, or a constant of the module."""
    texts = [_constant(member, module) for member in members[:2]]
    if len(texts) < 2 or texts[0] is None or not CODE.fullmatch(texts[0]):
        return None
    return None if texts[1] and CODE.fullmatch(texts[1]) else texts[0]


def _constant(node: ast.expr, module: Module) -> str | None:
    if isinstance(node, ast.Name):
        node = next((value for value in module.constants(node.id)), node)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _kind(node: ast.AST) -> str:
    """The class that is made; a tuple or a guard is for an error of another library."""
    if not isinstance(node, ast.Call):
        return "DelineateError"
    name = ast.unparse(node.func).rsplit(".", 1)[-1]
    return "MissingExtraError" if name == "__init__" else name if name[0].isupper() else "DelineateError"


def _templates(node: ast.expr, module: Module) -> list[str]:
    """The texts an expression can give, with what is computed as ‹name›."""
    match node:
        case ast.Constant():
            return [str(node.value)]
        case ast.JoinedStr():
            return ["".join(" / ".join(_templates(part, module)) for part in node.values)]
        case ast.FormattedValue(value=ast.Name() as name) if (values := _assigned(name, module)) and all(
            map(_is_text, values)
        ):
            return [text for value in values for text in _templates(value, module)]
        case ast.FormattedValue(value=ast.Call(func=ast.Name(id="counted")) as call):
            return _templates(call, module)
        case ast.Call(func=ast.Name(id="counted"), args=[number, *words]):
            many = "" if words[1:] else "s"
            return [f"‹{_name(number)}› {text}{many}" for text in _templates(words[-1], module)]
        case ast.FormattedValue():
            return [f"‹{_name(node.value)}›"]
        case ast.BinOp(op=ast.Add()):
            return [a + b for a in _templates(node.left, module) for b in _templates(node.right, module)]
        case ast.IfExp():
            return _templates(node.body, module) + _templates(node.orelse, module)
        case ast.Call(func=ast.Attribute(attr="format" | "strip", value=text)):
            return [re.sub(r"\{\w*\}", "‹value›", one) for one in _templates(text, module)]
        case ast.Name():
            texts = [text for value in _assigned(node, module) for text in _templates(value, module)]
            return texts or [f"‹{node.id}›"]
        case _:
            return [f"‹{_name(node)}›"]


def _assigned(name: ast.Name, module: Module) -> list[ast.expr]:
    """What a name stands for: what it is set to in the function around it, its default there, or a constant."""
    around = module.function_around(name)
    values = [
        node.value
        for node in around
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name.id for t in node.targets)
    ]
    return values or _defaults(name.id, around) or list(module.constants(name.id))


def _defaults(name: str, around: Sequence[ast.AST]) -> list[ast.expr]:
    """The default of a parameter of that name."""
    found = []
    for arguments in (node for node in around if isinstance(node, ast.arguments)):
        optional = arguments.args[len(arguments.args) - len(arguments.defaults) :]
        found += [value for p, value in zip(optional, arguments.defaults, strict=True) if p.arg == name]
    return found


def _is_text(node: ast.expr) -> bool:
    """Whether an expression is a text, or one of two."""
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) and _is_text(node.orelse)
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _name(node: ast.expr) -> str:
    """A word for what is computed: the last name of the expression that says what it is."""
    match node:
        case ast.Name(id=word):
            return word.lower().strip("_").replace("_", " ")
        case ast.Attribute(value=value, attr="name" | "shape" | "strerror" | "value" | "stem"):
            return _name(value)
        case ast.Attribute(attr=word):
            return word.lower().strip("_").replace("_", " ")
        case ast.Constant(value=value):
            return str(value)
        case ast.Call(func=ast.Name(id="command"), args=words):
            return " ".join(_name(word) for word in words)
        case ast.Call(func=ast.Name(id="len"), args=[value]):
            return f"number of {_name(value)}"
        case ast.Call(args=[value, *_]) | ast.Call(func=ast.Attribute(value=value)) | ast.Subscript(value=value):
            return _name(value)
        case ast.GeneratorExp(elt=value) | ast.ListComp(elt=value) | ast.Starred(value=value):
            return _name(value)
        case ast.BoolOp(values=[value, *_]) | ast.BinOp(left=value) | ast.UnaryOp(operand=value):
            return _name(value)
        case ast.IfExp(body=value, orelse=other):
            return " / ".join(word for word in (_name(value), _name(other)) if word)
        case ast.JoinedStr():
            return "".join(
                _name(part.value) if isinstance(part, ast.FormattedValue) else _name(part) for part in node.values
            )
        case _:
            return "value"
