"""The pickled part of a torch checkpoint, read by an interpreter of its own: it builds arrays and runs nothing.

A checkpoint's pickle is a program for a stack machine. ``torch.save`` needs few of its instructions, and of all names
in Python three functions and the element types. Only those are known here; anything else is refused by its name.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST = 64 << 20  # bytes of a pickle, without the arrays
DEEPEST = 1 << 20  # values on the stack

STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}  # fmt: skip


class PickleRefusedError(Exception):
    """A pickle that holds more than arrays."""


@dataclass(frozen=True)
class StorageType:
    """The element type of a storage: a name of numpy's, or bfloat16."""

    dtype: str


@dataclass(frozen=True)
class StorageRecord:
    """Where the elements of a tensor lie: the entry of the archive, and how many there are."""

    dtype: str
    key: str
    count: int


OpenStorage = Callable[[StorageRecord], NDArray[Any]]  # the elements, one after the other


def rebuilt(storage: NDArray[Any], offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> NDArray[Any]:
    """A tensor of a storage: a view, as far as it lies within it. Raises PickleRefusedError if it does not."""
    numbers = (offset, *shape, *strides)
    if any(type(n) is not int or n < 0 for n in numbers) or len(shape) != len(strides):
        raise PickleRefusedError("a tensor of impossible size")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if 0 in shape:
        return np.empty(shape, storage.dtype)
    if last >= len(storage):
        raise PickleRefusedError("a tensor that reaches beyond its storage")
    bytes_of = storage.dtype.itemsize
    return np.lib.stride_tricks.as_strided(
        storage[offset:], shape, tuple(step * bytes_of for step in strides), writeable=False
    )


@dataclass
class TensorPickle:
    """A stack machine for one pickle; ``run`` gives the value it describes."""

    open_storage: OpenStorage
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, content: bytes) -> Any:
        """Raises PickleRefusedError for anything but arrays in dictionaries and lists, and for a damaged pickle."""
        if len(content) > LONGEST:
            raise PickleRefusedError("a pickle of more than 64 MiB without the arrays")
        try:
            for opcode, argument, _ in pickletools.genops(io.BytesIO(content)):
                if opcode.name == "STOP":
                    return self._pop()
                self._step(opcode.name, argument)
                if len(self.stack) > DEEPEST:
                    raise PickleRefusedError("too many values at once")
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise PickleRefusedError(f"a damaged pickle ({error})") from None
        raise PickleRefusedError("a pickle without an end")

    def _step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _TUPLES:
            self._collect(_TUPLES[name])
        elif (instruction := _INSTRUCTIONS.get(name)) is not None:
            instruction(self, argument)
        else:
            raise PickleRefusedError(f"the instruction {name}")

    def _pop(self) -> Any:
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise PickleRefusedError("a damaged pickle")
        return self.stack.pop()

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _collect(self, count: int | None) -> None:
        values = self._since_mark() if count is None else [self._pop() for _ in range(count)][::-1]
        self.stack.append(tuple(values))

    def _mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def _put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def _append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise PickleRefusedError("appending to what is no list")
        target.extend(values)

    def _set(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise PickleRefusedError("items of what is no dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) not in (str, int, float, bool):
                raise PickleRefusedError(f"a key of type {type(key).__name__}")
            target[key] = value

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(_known(module, name))

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        self.stack.append(_known(str(module), str(name)))

    def _storage(self, _: Any) -> None:
        match self._pop():
            case ("storage", StorageType(dtype), str(key), str(), int(count)):
                self.stack.append(self.open_storage(StorageRecord(dtype, key, count)))
            case _:
                raise PickleRefusedError("a reference to what is no storage")

    def _call(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Constructor) or type(arguments) is not tuple:
            raise PickleRefusedError("a call of what is no tensor")
        self.stack.append(function.make(arguments))

    def _set_state(self, _: Any) -> None:
        """What is set on a dictionary of weights (its metadata) is not read."""
        self._pop()
        if type(self.stack[-1]) is not dict:
            raise PickleRefusedError("the state of what is no dictionary")


@dataclass(frozen=True)
class Constructor:
    """What a pickle may call: a function of this file, under the name torch has for it."""

    name: str
    make: Callable[[tuple[Any, ...]], Any]


def _ordered_dictionary(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    if arguments:
        raise PickleRefusedError("a dictionary made from something")
    return {}


def _tensor(arguments: tuple[Any, ...]) -> NDArray[Any]:
    match arguments:
        case (np.ndarray() as storage, int(offset), tuple(shape), tuple(strides), bool(), {**hooks}) if not hooks:
            return rebuilt(storage, offset, shape, strides)
        case _:
            raise PickleRefusedError("a tensor of another kind than plain ones")


def _parameter(arguments: tuple[Any, ...]) -> NDArray[Any]:
    match arguments:
        case (np.ndarray() as values, bool(), {**hooks}) if not hooks:
            return values
        case _:
            raise PickleRefusedError("a parameter of another kind than plain ones")


def _size(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    match arguments:
        case ((tuple() | list()) as sizes,):
            return tuple(sizes)
        case _:
            raise PickleRefusedError("a size that is none")


_CONSTRUCTORS = {
    ("collections", "OrderedDict"): Constructor("OrderedDict", _ordered_dictionary),
    ("torch._utils", "_rebuild_tensor_v2"): Constructor("tensor", _tensor),
    ("torch._utils", "_rebuild_parameter"): Constructor("parameter", _parameter),
    ("torch", "Size"): Constructor("size", _size),
}


def _known(module: str, name: str) -> Any:
    if (module, name) in _CONSTRUCTORS:
        return _CONSTRUCTORS[module, name]
    if module == "torch" and name in STORAGES:
        return StorageType(STORAGES[name])
    raise PickleRefusedError(f"{module}.{name}"[:120])


_LITERALS = (
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINSTRING",
    "BINSTRING",
)  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
}  # fmt: skip
_TUPLES = {"TUPLE": None, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_INSTRUCTIONS: dict[str, Callable[[TensorPickle, Any], None]] = {
    "PROTO": lambda machine, argument: None,
    "FRAME": lambda machine, argument: None,
    "MARK": TensorPickle._mark,
    "BINPUT": TensorPickle._put,
    "LONG_BINPUT": TensorPickle._put,
    "MEMOIZE": TensorPickle._memoize,
    "BINGET": TensorPickle._get,
    "LONG_BINGET": TensorPickle._get,
    "APPEND": lambda machine, _: machine._append([machine._pop()]),
    "APPENDS": lambda machine, _: machine._append(machine._since_mark()),
    "SETITEM": lambda machine, _: machine._set([machine._pop(), machine._pop()][::-1]),
    "SETITEMS": lambda machine, _: machine._set(machine._since_mark()),
    "GLOBAL": TensorPickle._global,
    "STACK_GLOBAL": TensorPickle._stack_global,
    "BINPERSID": TensorPickle._storage,
    "REDUCE": TensorPickle._call,
    "BUILD": TensorPickle._set_state,
}
