"""What a fine-tuning run came to is told by its whole table, not by its best number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from delineate.cli.train import print_finetuned
from delineate.predictors.capabilities import VISUAL_PROMPTS, Capabilities, PromptKind, Scope
from delineate.training.sensitivity import ProbedPrompt, logged_probes, probe_table, verdict
from delineate.verbs.finetune import FinetuneRequest, FinetuneResult

BOX, CLICK = "box error %", "click"


def probes(*rows: tuple[str, str, float, float]) -> tuple[ProbedPrompt, ...]:
    return tuple(ProbedPrompt(*row) for row in rows)


@pytest.mark.parametrize(
    ("kept", "rows", "words", "without"),
    [
        pytest.param(False, (), ["nothing was kept"], ["etter on"], id="nothing-kept"),
        pytest.param(True, (), ["Better on held-out subjects (0.955 to 0.958)"], ["worse"], id="not-probed"),
        pytest.param(
            True, [(BOX, "0", 0.95, 0.96), (CLICK, "center", 0.9, 0.9)], ["no kind of prompt worse"], [], id="better"
        ),
        pytest.param(
            True,
            [(BOX, "0", 0.955, 0.958), (BOX, "20", 0.782, 0.737), (CLICK, "border", 0.814, 0.703)],
            ["Worse on the whole", "boxes 20 % off (0.782 to 0.737)", "a click at the border (0.814 to 0.703)"],
            ["boxes 0 % off", "Use it"],
            id="praised-and-spoiled",
        ),
        pytest.param(
            True,
            [(BOX, "0", 0.70, 0.90), (CLICK, "anywhere", 0.879, 0.813)],
            ["but worse with a click anywhere (0.879 to 0.813)", "careful prompts only"],
            ["on the whole"],
            id="better-in-part",
        ),
        pytest.param(
            True, [(BOX, "0", 0.9, 0.95), (CLICK, "center", 0.9, 0.892)], ["no kind of prompt worse"], [], id="noise"
        ),
    ],
)
def test_the_verdict_is_by_the_whole_table(
    kept: bool, rows: list[tuple[str, str, float, float]], words: list[str], without: list[str]
) -> None:
    said = verdict(0.955, 0.958, kept, probes(*rows))
    assert all(word in said for word in words) and not any(word in said for word in without)


@pytest.mark.parametrize(
    ("capabilities", "ask", "protocol"),
    [
        (Capabilities(frozenset(), Scope.DENSE, follows=None), "FILE -m", " --protocol classes "),
        (Capabilities(VISUAL_PROMPTS, Scope.VOLUME, follows=None), "FILE --box ... -m", " --protocol box-3d "),
        (Capabilities(frozenset({PromptKind.POINT})), "FILE --point ... -m", " --protocol clicks-2d "),
        (Capabilities(VISUAL_PROMPTS), "FILE --box ... -m", " --predictors "),
    ],
    ids=["classes", "volumes", "clicks", "boxes"],
)
def test_the_commands_that_are_told_ask_a_system_as_it_is_asked(
    capabilities: Capabilities, ask: str, protocol: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, best = tmp_path / "start.safetensors", tmp_path / "best.safetensors"
    start.touch()
    for model, untrained, base in (("it", False, "it,"), (f"it={start}", False, f"it={start},"), ("it", True, "")):
        request = FinetuneRequest(data=tmp_path, model=model, untrained=untrained)
        print_finetuned(FinetuneResult(request, 0.1, 0.2, 4, best, "it", capabilities, None, (), (), ""))
        use, see = [line for line in capsys.readouterr().out.splitlines() if "delineate " in line]
        assert f"delineate segment {ask} {best} --system it" in use
        assert protocol in see and f"--predictors {base}it={best} " in see


def test_the_last_probe_of_a_log_counts(tmp_path: Path) -> None:
    assert logged_probes(tmp_path) == () and probe_table(()) == []
    lines = [
        {"step": 8},
        {"sensitivity": {"before": {CLICK: {"center": 0.1}}, "after": {CLICK: {"center": 0.2}}}},
        {"sensitivity": {"before": {CLICK: {"center": 0.5}}, "after": {CLICK: {"center": 0.6}}}},
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert logged_probes(tmp_path) == probes((CLICK, "center", 0.5, 0.6))
    assert probe_table(logged_probes(tmp_path))[1].split() == ["click", "center", "0.500", "0.600"]
