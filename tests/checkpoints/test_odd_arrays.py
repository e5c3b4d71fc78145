"""Adapters, checkpoints, vocabularies and run states that are damaged or of another shape: one sentence each."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from delineate.checkpoints import key_maps  # noqa: E402
from delineate.checkpoints.loading import load_all, put_adapter  # noqa: E402
from delineate.checkpoints.reading import read_weights  # noqa: E402
from delineate.checkpoints.vocabulary import BYTES, Vocabulary  # noqa: E402
from delineate.core.errors import DelineateError, ModelError  # noqa: E402
from delineate.core.terminal_text import is_active  # noqa: E402
from delineate.training.average import MovingAverage  # noqa: E402
from delineate.training.run_files import RunLog, RunState, counts_in, load_averaged  # noqa: E402

ODD = "\x1b[2J" + "x" * 5000


def readable(error: DelineateError) -> bool:
    text = str(error)
    return len(text) < 1200 and not [c for c in text if is_active(c) and c != "\n"] and bool(error.hint)


def host() -> nn.Module:
    return nn.ModuleDict({"vision_encoder": nn.ModuleDict({"block": nn.Linear(8, 6)}), "head": nn.Linear(6, 3)})


def adapter(folder: Path, said: Any = None, **changes: Tensor | None) -> Path:
    arrays = {"adapter.block.lora_A.weight": torch.ones(2, 8), "adapter.block.lora_B.weight": torch.ones(6, 2)}
    arrays |= {name.replace("__", "."): value for name, value in changes.items() if value is not None}
    for name in [name for name, value in changes.items() if value is None]:
        del arrays[name.replace("__", ".")]
    told = {"kind": "lora", "alpha": 4.0} if said is None else said
    save_file(arrays, folder / "a.safetensors", {"adapter": told if isinstance(told, str) else json.dumps(told)})
    return folder / "a.safetensors"


A, B = "adapter__block__lora_A__weight", "adapter__block__lora_B__weight"
ADAPTERS: dict[str, dict[str, Any]] = {
    "no-json": {"said": "{"}, "a-list": {"said": [1]}, "no-kind": {"said": {"alpha": 1}}, "other-kind": {"said": {"kind": ODD, "alpha": 1}},
    "alpha-text": {"said": {"kind": "lora", "alpha": "four"}}, "alpha-nan": {"said": '{"kind": "lora", "alpha": NaN}'},
    "deep": {"said": "[" * 100_000}, "no-matrix": {B: None}, "flat-matrix": {A: torch.ones(16)}, "three-axes": {A: torch.ones(2, 8, 1)},
    "no-rank": {A: torch.ones(0, 8), B: torch.ones(6, 0)}, "two-ranks": {A: torch.ones(3, 8)}, "scalar": {A: torch.tensor(1.0)},
    "whole-numbers": {A: torch.ones(2, 8, dtype=torch.int64)}, "true-or-false": {A: torch.ones(2, 8, dtype=torch.bool)},
    "other-inputs": {A: torch.ones(2, 9)}, "other-layer": {f"adapter__{ODD}__lora_A": torch.ones(2, 8), f"adapter__{ODD}__lora_B": torch.ones(6, 2)},
    "other-weight": {"head__weight": torch.ones(2, 2)}, "dora-without-lengths": {"said": {"kind": "dora", "alpha": 1}},
}  # fmt: skip


@pytest.mark.parametrize("changes", ADAPTERS.values(), ids=ADAPTERS)
def test_adapters_of_another_shape(changes: dict[str, Any], tmp_path: Path) -> None:
    network = host()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ModelError) as caught:
        put_adapter(network, adapter(tmp_path, **changes))
    assert caught.value.code == "E-ADAPTER" and readable(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("content", [b"", b"x" * 7, b"\xff" * 40, b"\x10" + bytes(7) + b"{" * 16])
@pytest.mark.parametrize("read", [lambda p: put_adapter(host(), p), counts_in, read_weights])
def test_files_that_are_none(read: Callable[[Path], Any], content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read(tmp_path / "a.safetensors")
    assert readable(caught.value) and caught.value.__cause__ is not None


SPARSE: dict[str, Callable[[], Tensor]] = {
    "sparse": lambda: torch.ones(3, 3).to_sparse(), "compressed-rows": lambda: torch.ones(3, 3).to_sparse_csr(),
}  # fmt: skip


@pytest.mark.parametrize("make", SPARSE.values(), ids=SPARSE)
def test_arrays_that_are_not_plain(make: Callable[[], Tensor], tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.ones(2), "b": make()}}, tmp_path / "a.pt")
    with pytest.raises(ModelError) as caught:
        read_weights(tmp_path / "a.pt")
    assert caught.value.code in ("E-MODEL-ARRAYS", "E-MODEL-PICKLE", "E-MODEL-DAMAGED") and readable(caught.value)


TABLE = "vision_encoder.pos_embed"
REL = "vision_encoder.layers.2.attn.rel_pos_"
GOOD = {TABLE: torch.zeros(1, 4, 4, 8), REL + "h": torch.zeros(7, 4), REL + "w": torch.zeros(7, 4)}
TABLES: dict[str, dict[str, Tensor | None]] = {
    "none": {TABLE: None}, "flat": {TABLE: torch.zeros(8)}, "empty": {TABLE: torch.zeros(1, 0, 0, 8)},
    "whole-numbers": {TABLE: torch.zeros(1, 4, 4, 8, dtype=torch.int64)}, "true-or-false": {TABLE: torch.zeros(1, 4, 4, 8, dtype=torch.bool)},
    "no-relative": {REL + "w": None}, "relative-of-three": {REL + "h": torch.zeros(7, 4, 1)},
}  # fmt: skip


@pytest.mark.parametrize("changes", TABLES.values(), ids=TABLES)
def test_tables_are_looked_at_before_they_are_resized(changes: dict[str, Tensor | None]) -> None:
    weights = {name: value for name, value in (GOOD | changes).items() if value is not None}
    with pytest.raises(ModelError) as caught:
        key_maps.resized_sam(weights, 8, (2,))
    assert caught.value.code == "E-MODEL-KEYS" and readable(caught.value)
    assert key_maps.resized_sam(dict(GOOD), 8, (2,))[TABLE].shape == (1, 8, 8, 8)


POINTS = "sam_prompt_encoder.point_embeddings.{}.weight"
MAPS: dict[str, tuple[Callable[[dict[str, Tensor]], Any], dict[str, Tensor]]] = {
    "three-of-four": (key_maps.sam2_weights, {POINTS.format(n): torch.zeros(1, 4) for n in range(3)}),
    "other-widths": (key_maps.sam2_weights, {POINTS.format(n): torch.zeros(1, 4 + n) for n in range(4)}),
    "scalars": (key_maps.sam2_weights, {POINTS.format(n): torch.tensor(0.0) for n in range(4)}),
    "no-table": (lambda w: key_maps.efficient_tam_weights(w, 4), {"a": torch.zeros(1)}),
    "table-of-no-square": (lambda w: key_maps.efficient_tam_weights(w, 4), {"image_encoder.trunk.pos_embed": torch.zeros(1, 12, 4)}),
    "table-of-one": (lambda w: key_maps.efficient_tam_weights(w, 4), {"image_encoder.trunk.pos_embed": torch.zeros(1)}),
    "keys-and-values": (key_maps.edge_tam_weights, {"spatial_perceiver.layers.0.attn.to_kv.weight": torch.tensor(1.0)}),
    "odd-half": (key_maps.edge_tam_weights, {"spatial_perceiver.layers.0.attn.to_kv.weight": torch.zeros(3, 2)}),
}  # fmt: skip


@pytest.mark.parametrize(("named", "weights"), MAPS.values(), ids=MAPS)
def test_maps_leave_what_does_not_fit_to_be_named(
    named: Callable[[dict[str, Tensor]], Any], weights: dict[str, Tensor]
) -> None:
    with pytest.raises(ModelError) as caught:
        load_all(nn.Linear(2, 2), named(weights) | {ODD: torch.zeros(1)}, "a.pt")
    assert caught.value.code == "E-MODEL-KEYS" and readable(caught.value)


def state_of(folder: Path, said: Any = None, **changes: Tensor) -> Path:
    arrays = {"param/weight": torch.ones(3, 4), "param/bias": torch.ones(3)} | {
        k.replace("__", "/"): v for k, v in changes.items()
    }
    told = {"counts": {"step": 1}, "scaler": {}} if said is None else said
    save_file(arrays, folder / "last.safetensors", {"run": told if isinstance(told, str) else json.dumps(told)})
    return folder / "last.safetensors"


STATES: dict[str, dict[str, Any]] = {
    "no-json": {"said": "{"}, "a-list": {"said": []}, "no-counts": {"said": {}}, "counts-list": {"said": {"counts": [1]}},
    "no-step": {"said": {"counts": {"seen": 1}}}, "step-text": {"said": {"counts": {"step": "one"}}}, "step-below": {"said": {"counts": {"step": -1}}},
    "other-shape": {"param__weight": torch.ones(4, 3)}, "other-moment": {"adam__exp_avg__weight": torch.ones(9)},
    "unknown-moment": {"adam__exp_avg__other": torch.ones(9)}, "moment-without-name": {"adam__x": torch.ones(1)},
    "other-average": {"ema__weight": torch.ones(2)},
}  # fmt: skip


@pytest.mark.parametrize("changes", STATES.values(), ids=STATES)
def test_states_of_other_runs(changes: dict[str, Any], tmp_path: Path) -> None:
    module = nn.Linear(4, 3)
    adam = torch.optim.Adam(module.parameters())
    path = state_of(tmp_path, **changes)
    with pytest.raises(ModelError) as caught:
        RunState(module, adam, MovingAverage(list(module.parameters()), 0.9), None).load(path)
    assert caught.value.code == "E-TRAIN-RESUME" and readable(caught.value)


def test_a_whole_state_is_taken(tmp_path: Path) -> None:
    module = nn.Linear(4, 3)
    path = state_of(tmp_path)
    assert counts_in(path) == {"step": 1}
    load_averaged(module, path)
    assert torch.equal(module.weight, torch.ones(3, 4))
    with pytest.raises(ModelError, match="another network"):
        load_averaged(nn.Linear(2, 2), path)


def test_a_log_with_damaged_lines_goes_on(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n[1]\n{"step": "x"}\n{"step": 2\n{"step": 3}\n')
    RunLog(tmp_path, tensorboard=False, writes=True).begin(2, {})
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 1}\n'


def letters(n: int) -> str:
    return f"{chr(97 + n % 20)} {chr(97 + n // 20)}"


GOOD_PAIRS = "#\n" + "\n".join(letters(n) for n in range(40)) + "\n"
VOCABULARIES: dict[str, bytes] = {
    "cut-gzip": gzip.compress(GOOD_PAIRS.encode())[:30], "damaged-gzip": b"\x1f\x8b\x08" + bytes(40), "no-text": b"\xff\xfe" * 90,
    "no-pairs": b"#\none\ntwo\n", "unknown-piece": GOOD_PAIRS.replace("a a", "zq a").encode(), "too-few": b"#\na b\n",
    "bomb": gzip.compress(bytes(80 << 20), 9), "long-line": b"#\n" + b"a" * 10_000_000 + b" b\n",
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("content", VOCABULARIES.values(), ids=VOCABULARIES)
def test_vocabularies_that_are_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        Vocabulary(2 * BYTES + 2 + 40, 16, tmp_path / "v.txt").ids("the liver")
    assert caught.value.code == "E-TEXT-VOCABULARY" and readable(caught.value)


@pytest.mark.parametrize("text", ["the liver " * 50_000, "a" * 1_000_000, ODD])
def test_long_texts_are_refused_before_they_are_taken_apart(text: str, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text(GOOD_PAIRS)
    with pytest.raises(DelineateError) as caught:
        Vocabulary(2 * BYTES + 2 + 40, 16, tmp_path / "v.txt").ids(text)
    assert caught.value.code == "E-TEXT-LONG" and readable(caught.value)
