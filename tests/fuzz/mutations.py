"""What goes wrong with files: bits, lengths, header fields, JSON values of other types, swapped tags, truncation.

Every change is drawn from a ``random.Random``, so a seed and a number give the same input again. A change is made
where it is read: inside gzip, in a member of a zip, in a chunk of a PNG with its checksum right.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement

from fuzz.seeds import Seed

Mutation = Callable[[bytes, Random], bytes]
LONG = 5000
WORDS = (
    "", " ", "0", "-1", "1", "2", "3 3", "1e30", "-1e400", "inf", "nan", "NaN NaN NaN", "none", "(1,2)", "(,,)", "[]",
    "1,5", "0x10", "1e-300", "99999999999999999999", "4294967296", "65535", "../x", "/etc/passwd", "x\0y", "ä€",
    "\x1b[2J\x1b]0;title\x07", "a\nb", "\u202egnp.exe", "true", "MET_FLOAT", "float", "x" * LONG, "../" * 60, "y" * 300,
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 3, 7, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1)
REALS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-300, 1e30, 3e38, 1e300, float("inf"), float("-inf"), float("nan"), 0.5)


def mutated(seed: Seed, random: Random) -> dict[str, bytes]:
    """The seed's files with one to three changes in one of them, seldom with one missing or twice."""
    files = dict(seed.files)
    names = sorted(files)
    told = [name for name in names if name.endswith((".json", ".csv", ".nhdr", ".mhd"))]
    name = random.choice(told if told and random.random() < 0.6 else names)
    if len(names) > 1 and random.random() < 0.05:
        del files[name]
        return files
    if len(names) > 1 and random.random() < 0.05:
        files[name] = files[random.choice(names)]
        return files
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        files[name] = changed(files[name], random)
    return files


def changed(content: bytes, random: Random) -> bytes:
    """One change, of the kind that fits what the bytes are."""
    if random.random() < 0.35:
        return random.choice(PLAIN)(content, random)
    for begins, mutation in KINDS:
        if begins(content):
            with suppress(Exception):  # what an earlier change made of it cannot be taken apart any more
                return mutation(content, random)
            break
    return random.choice(PLAIN)(content, random)


# bytes


def place(content: bytes, random: Random) -> int:
    """Mostly in the header."""
    most = len(content) if random.random() < 0.5 else min(len(content), 512)
    return random.randrange(most) if most else 0


def flip(content: bytes, random: Random) -> bytes:
    out = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 40)) if out else 0):
        out[place(content, random)] ^= 1 << random.randrange(8)
    return bytes(out)


def number(content: bytes, random: Random) -> bytes:
    """Two, four or eight bytes become a number that is on some edge."""
    order = random.choice("<>")
    if random.random() < 0.3:
        new = struct.pack(order + random.choice("fd"), min(random.choice(REALS), 3e38))
    else:
        size = random.choice("BHIQ")
        new = struct.pack(order + size, random.choice(NUMBERS) % 2 ** (8 * struct.calcsize(size)))
    at = place(content, random)
    return content[:at] + new + content[at + len(new) :]


def cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content) + 1)] if random.random() < 0.9 else b""


def removed(content: bytes, random: Random) -> bytes:
    at, size = place(content, random), random.choice((1, 2, 4, 16, 100))
    return content[:at] + content[at + size :]


def inserted(content: bytes, random: Random) -> bytes:
    at, start = place(content, random), place(content, random)
    piece = random.choice((random.randbytes(8), bytes(40), content[start : start + 60], b"\xff" * 4))
    return content[:at] + piece + content[at:]


def swapped(content: bytes, random: Random) -> bytes:
    size = random.choice((2, 4, 8, 12))
    one, other = sorted((place(content, random), place(content, random)))
    if other - one < size:
        return flip(content, random)
    first, second = content[one : one + size], content[other : other + size]
    return content[:one] + second + content[one + size : other] + first + content[other + size :]


def erased(content: bytes, random: Random) -> bytes:
    at, size = place(content, random), random.choice((1, 4, 32, 500))
    return content[:at] + bytes(len(content[at : at + size])) + content[at + size :]


PLAIN: tuple[Mutation, ...] = (flip, flip, number, number, cut, removed, inserted, swapped, erased)


# words


def word(random: Random) -> str:
    return random.choice(WORDS)


def line_of_text(content: bytes, random: Random) -> bytes:
    """A header of lines, "key: value" or "key = value": one of them changed, missing, twice, or as another's."""
    end = next(
        (m.end() for m in (re.search(rb"\n\n", content), re.search(rb"ElementDataFile[^\n]*\n", content)) if m),
        len(content),
    )
    lines = content[:end].split(b"\n")
    which = random.randrange(len(lines))
    key, sign, value = re.match(rb"([^:=]*)(:=|: ?| = |=)?(.*)", lines[which], re.S).groups()  # type: ignore[union-attr]
    tokens = re.split(rb"([ ,()]+)", value)
    new = word(random).encode("utf-8", "surrogatepass")
    match random.randrange(8):
        case 0:
            value = new
        case 1 | 2 | 3:
            tokens[random.randrange(len(tokens))] = new
            value = b"".join(tokens)
        case 4:
            del tokens[random.randrange(len(tokens))]
            value = b"".join(tokens)
        case 5:
            value += b" " + random.choice(tokens)
        case 6:
            value = random.choice(lines).rpartition(b" ")[2]
        case _:
            del lines[which]
            if random.random() < 0.5:
                lines.insert(random.randrange(len(lines) + 1), key + (sign or b"") + value)
            return b"\n".join(lines) + content[end:]
    lines[which] = key + (sign or b"") + value
    return b"\n".join(lines) + content[end:]


def json_value(content: bytes, random: Random) -> bytes:
    """A value of another type, a missing or a foreign key, a name that leads elsewhere; bytes that are no text."""
    if random.random() < 0.06:
        return random.choice(
            (b"[" * 100_000, b"\xff\xfe" + content, content[: len(content) // 2], b"null", b'"x"', b"{}", b"[]", b"17")
        )
    whole = json.loads(content)
    box = {"root": whole}
    places = list(_places(box, "root"))
    holder, key = random.choice(places)
    match random.randrange(6):
        case 0 if holder is not box:
            del holder[key]
        case 1 if isinstance(holder, dict) and holder is not box:
            holder[word(random)] = holder.pop(key)
        case 2:
            other, its = random.choice(places)
            holder[key] = json.loads(json.dumps(other[its]))
        case 3 if isinstance(holder[key], list) and holder[key]:
            holder[key] = holder[key] * random.choice((2, 30))
        case _:
            holder[key] = _odd(random)
    return json.dumps(box["root"]).encode("utf-8", "surrogatepass")


def _places(holder: Any, key: Any) -> Any:
    yield holder, key
    value = holder[key]
    if isinstance(value, dict):
        for one in value:
            yield from _places(value, one)
    elif isinstance(value, list):
        for n in range(min(len(value), 20)):
            yield from _places(value, n)


def _odd(random: Random) -> Any:
    return random.choice(
        (
            None,
            True,
            [],
            {},
            [[]],
            {"a": 1},
            "",
            random.choice(REALS),
            random.choice(NUMBERS),
            -1,
            10**30,
            1.5,
            word(random),
            word(random),
            "\ud800",
            [1, "x"],
            ["a"] * 50,
        )
    )


def comma_separated(content: bytes, random: Random) -> bytes:
    cells = re.split(rb"([,\n])", content)
    cells[random.randrange(len(cells))] = word(random).encode("utf-8", "surrogatepass")
    return b"".join(cells)


# containers


def inside_gzip(content: bytes, random: Random) -> bytes:
    return gzip.compress(changed(gzip.decompress(content), random), 1)


def inside_zip(content: bytes, random: Random) -> bytes:
    """A member changed, or renamed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        members = archive.infolist()
        which = random.randrange(len(members))
        for n, member in enumerate(members):
            data, name = archive.read(member), member.filename
            if n == which and random.random() < 0.1:
                name = word(random)[:200] or "x"
            elif n == which:
                data = changed(data, random)
            new.writestr(name, data)
    return out.getvalue()


def array_header(content: bytes, random: Random) -> bytes:
    """The dictionary at the beginning of a .npy, its length right."""
    size = struct.unpack("<H", content[8:10])[0]
    header = content[10 : 10 + size].decode("latin-1")
    tokens = re.split(r"([ ,():{}'])", header)
    tokens[random.randrange(len(tokens))] = random.choice(
        (word(random)[:300], "(1125899906842624,)", "'|O'", "'<U5'", "'<c16'", "'<M8[s]'")
    )
    new = "".join(tokens).encode("latin-1", "replace")
    return content[:8] + struct.pack("<H", len(new) % 65536) + new + content[10 + size :]


def png_chunk(content: bytes, random: Random) -> bytes:
    """A chunk changed, missing, twice, or in another place; checksums are right."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        size = struct.unpack(">I", content[at : at + 4])[0]
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    which = random.randrange(len(chunks))
    kind, data = chunks[which]
    match random.randrange(6):
        case 0:
            del chunks[which]
        case 1:
            chunks.insert(random.randrange(len(chunks) + 1), (kind, data))
        case 2 if kind in (b"IDAT", b"fdAT"):
            chunks[which] = (kind, zlib.compress(random.choice(PLAIN)(zlib.decompress(data), random)))
        case 3:
            chunks[which] = (random.choice(chunks)[0], data)
        case _:
            chunks[which] = (kind, random.choice(PLAIN)(data, random))
    parts = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return content[:8] + b"".join(parts)


def nifti_field(content: bytes, random: Random) -> bytes:
    """A field of the header, by its name."""
    double = content[:4] == struct.pack("<i", 540)
    kind = nib.nifti2.header_dtype if double else nib.nifti1.header_dtype
    header = np.frombuffer(content[: kind.itemsize], kind).copy()
    name = random.choice([n for n in kind.names if n not in ("magic", "eol_check")])
    flat = header[name].reshape(-1)
    which = random.randrange(len(flat))
    with np.errstate(all="ignore"):
        if flat.dtype.kind == "f":
            flat[which] = np.float64(random.choice(REALS)).astype(flat.dtype)
        elif flat.dtype.kind in "iu":
            flat[which] = np.array(random.choice((*NUMBERS, 8, 16, 64, 128, 1536))).astype(np.uint64).astype(flat.dtype)
        else:
            flat[which] = word(random).encode("utf-8", "replace")[:80]
    return header.tobytes() + content[kind.itemsize :]


def tiff_entry(content: bytes, random: Random) -> bytes:
    """Tag, type, count or value of an entry of the first page."""
    order = "<" if content[:2] == b"II" else ">"
    at = struct.unpack(order + "I", content[4:8])[0]
    count = struct.unpack(order + "H", content[at : at + 2])[0]
    here = at + 2 + 12 * random.randrange(max(1, count))
    out = bytearray(content)
    value = random.choice(NUMBERS) % 2**32
    match random.randrange(5):
        case 0:
            struct.pack_into(
                order + "H",
                out,
                here,
                random.choice(
                    (254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 320, 322, 338, 339, value % 65536)
                ),
            )
        case 1:
            struct.pack_into(order + "H", out, here + 2, random.choice((1, 2, 3, 4, 5, 11, 12, 13, value % 65536)))
        case 2:
            struct.pack_into(order + "I", out, here + 4, value)
        case _:
            struct.pack_into(order + "I", out, here + 8, value if random.random() < 0.6 else random.randrange(10))
    return bytes(out)


def dicom_element(content: bytes, random: Random) -> bytes:
    """An element with another text, of another type, missing, or with the value of another one."""
    made = pydicom.dcmread(io.BytesIO(content))
    where = made if random.random() < 0.85 else _any_item(made, random)
    if random.random() < 0.08:
        made.file_meta.TransferSyntaxUID = random.choice(
            (
                "1.2.840.10008.1.2",
                "1.2.840.10008.1.2.2",
                "1.2.840.10008.1.2.1.99",
                "1.2.840.10008.1.2.5",
                "1.2.840.10008.1.2.4.70",
                "1.2.3",
                "x",
            )
        )
    tag = random.choice(list(where.keys()))
    told = where.get_item(tag)
    kind = random.choice((told.VR, told.VR, "DS", "IS", "UT", "US", "OB", "SQ", "FD"))
    match random.randrange(5):
        case 0:
            del where[tag]
        case 1:
            other = random.choice([t for t in where.keys() if t != tag])  # noqa: SIM118
            where[tag].value, where[other].value = where[other].value, where[tag].value
        case 2:
            raw = random.randbytes(random.choice((0, 2, 4, 8)))
            where._dict[tag] = RawDataElement(tag, kind, len(raw), raw, 0, False, True)
        case _:
            raw = random.choice((word(random), f"{word(random)}\\{word(random)}")).encode("utf-8", "replace")[:20_000]
            raw += b" " * (len(raw) % 2)
            where._dict[tag] = RawDataElement(tag, kind, len(raw), raw, 0, False, True)
    out = io.BytesIO()
    made.save_as(out, enforce_file_format=False)
    return out.getvalue()


def _any_item(made: pydicom.Dataset, random: Random) -> pydicom.Dataset:
    items = [item for element in made for item in (element.value if element.VR == "SQ" else ())]
    return _any_item(random.choice(items), random) if items else made


def tensor_header(content: bytes, random: Random) -> bytes:
    """The JSON at the beginning of a .safetensors, its length right; also the JSON within its words."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    said = header.get("__metadata__", {})
    inner = [key for key, value in said.items() if value[:1] in "{["]
    if inner and random.random() < 0.6:
        key = random.choice(inner)
        said[key] = json_value(said[key].encode(), random).decode("utf-8", "replace")
        new = json.dumps(header).encode()
    elif random.random() < 0.6:
        name = random.choice([key for key in header if key != "__metadata__"])
        told = header[name]
        match random.randrange(4):
            case 0:
                del header[name]
            case 1:
                header[word(random) or "x"] = header.pop(name)
            case 2:
                told["dtype"] = random.choice(
                    {"F32": ("I32", "U32"), "F16": ("BF16", "I16"), "I64": ("F64",)}.get(told["dtype"], ("F32",))
                )
            case _:
                told["shape"] = random.choice(
                    (told["shape"][::-1], [int(np.prod(told["shape"]))], [1, *told["shape"]], [0])
                )
        new = json.dumps(header).encode()
    else:
        new = json_value(content[8 : 8 + size], random)
    return struct.pack("<Q", len(new)) + new + content[8 + size :]


def inside_tar(content: bytes, random: Random) -> bytes:
    """A file in it, with its length as it was; or the header of one."""
    at, places = 0, []
    while at + 512 <= len(content) and content[at]:
        size = int(content[at + 124 : at + 135].split(b"\0")[0] or b"0", 8)
        places.append((at, size))
        at += 512 + -(-size // 512) * 512
    start, size = random.choice(places)
    if random.random() < 0.2:
        return (
            content[:start]
            + random.choice(PLAIN)(content[start : start + 512], random).ljust(512)[:512]
            + content[start + 512 :]
        )
    data = changed(content[start + 512 : start + 512 + size], random)
    return content[: start + 512] + data[:size].ljust(size) + content[start + 512 + size :]


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda content: content.startswith(signatures)


KINDS: tuple[tuple[Callable[[bytes], bool], Mutation], ...] = (
    (_starts(b"\x1f\x8b"), inside_gzip),
    (_starts(b"PK\x03\x04"), inside_zip),
    (_starts(b"\x93NUMPY"), array_header),
    (_starts(b"\x89PNG"), png_chunk),
    (_starts(b"NRRD", b"ObjectType", b"# === DATA", b"\n# === DATA", b"\ntype ", b"type "), line_of_text),
    (_starts(struct.pack("<i", 348), struct.pack("<i", 540)), nifti_field),
    (_starts(b"II*\0", b"MM\0*"), tiff_entry),
    (lambda content: content[128:132] == b"DICM", dicom_element),
    (lambda content: content[257:262] == b"ustar", inside_tar),
    (lambda content: content[8:9] == b"{" and content[:8].endswith(bytes(4)), tensor_header),
    (_starts(b"{", b"["), json_value),
    (lambda content: content[:200].isascii() and b"," in content[:200] and b"\n" in content[:200], comma_separated),
)


def written_in(folder: Any, files: Mapping[str, bytes]) -> None:
    """The files below a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
