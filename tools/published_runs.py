"""LiteMedSAM's published weights trained on real scans, by the commands a person would give; see ``recipes.py``.

Each run is measured on scans marked ``test``: other subjects, on which nothing was chosen. Minutes are of the
processor, not of the clock; memory is the most that the process held.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from delineate.data.cases import MANIFEST
from delineate.evaluation.runner import EvaluateOptions, evaluate
from delineate.evaluation.tables import EvaluationReport
from tables import COPIES, DATA

TEACHER, STUDENT = "lite_medsam", "lite_medsam_small"
SHOWN = {"nuclei_dsb2018": 10, "hippocampus_mri_msd": 2, "carotid_us_ccaus": 4, "skin_lesion_isic2017": 2}  # items
ROW = "row.json"


def folder_of(target: Path, wanted: Mapping[str, int], use: str = "train") -> Path:
    """A data set of its own: so many items of each data set, the first by name."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    items = sorted(json.loads((DATA / MANIFEST).read_text()), key=lambda item: item["id"])
    chosen = [
        item
        for name, most in wanted.items()
        for item in [one for one in items if (one["dataset"], one["use"]) == (name, use)][:most]
    ]
    for path in (item[kind] for item in chosen for kind in ("image", "label")):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (DATA / path).is_dir() else shutil.copy)(DATA / path, target / path)
    (target / MANIFEST).write_text(json.dumps(chosen))
    return target


def ran(*words: str | Path) -> tuple[dict[str, Any], float, float]:
    """What a command answers, its minutes of the processor, and the gigabytes it held at most."""
    command = [sys.executable, "-m", "delineate", *map(str, words), "--json", "--threads", "1", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return json.loads(said), (usage.ru_utime + usage.ru_stime) / 60, usage.ru_maxrss / 1e6


def measured(output: Path, predictors: Sequence[str], data: Path = DATA, limit: int | None = None) -> EvaluationReport:
    """Dice with boxes whose sides are off by up to 5 %, on scans marked ``test``."""
    return evaluate(EvaluateOptions(data=data, predictors=tuple(predictors), output=output, limit=limit, structures=4))


def distill_small(output: Path) -> None:
    """The student of the house learns LiteMedSAM's embeddings; one that is there is measured again."""
    weights = output / "run" / "student.safetensors"
    if not weights.is_file():
        learned = folder_of(output.with_name("distill_small_data"), SHOWN)
        shutil.rmtree(output, ignore_errors=True)
        found, minutes, memory = ran(
            "distill", learned, "--teacher", TEACHER, "--student", STUDENT, "--recipe", "mobile_sam",
            "--steps", "60", "--batch", "4", "--every", "20", "-o", output / "run",
        )  # fmt: skip
        about = {"minutes": minutes, "memory": memory, "error": [found["before"], found["after"]]}
        (output / ROW).write_text(json.dumps(about))
    about = json.loads((output / ROW).read_text())
    report = measured(output / "report", (TEACHER, f"{STUDENT}={weights}", "ellipse"), limit=2)
    rows = [
        {"dataset": line.name, "count": line.count, "learned": line.name in SHOWN, "dice": [*line.values.values()]}
        for line in report.by_dataset(report.headline)[:-1]
        if line.name not in COPIES
    ]
    (output / ROW).write_text(json.dumps(about | {"rows": rows}))


def finetuned(dataset: str, cases: int, steps: int, output: Path) -> None:
    """The decoder learns a person's own cases; measured on those marked ``test``, again where it has run."""
    if not (output / ROW).is_file():
        learned = folder_of(output.with_name(f"{output.name}_data"), {dataset: cases})
        shutil.rmtree(output, ignore_errors=True)
        found, minutes, memory = ran(
            "train", "finetune", learned, "-m", TEACHER, "--recipe", "quick", "--steps", str(steps), "--every", "25",
            "-o", output / "run",
        )  # fmt: skip
        about = {"dataset": dataset, "cases": cases, "steps": steps, "minutes": minutes, "memory": memory,
                 "own": [found["before"], found["best"]]}  # fmt: skip
        (output / ROW).write_text(json.dumps(about))
    about = json.loads((output / ROW).read_text())
    others = folder_of(output.with_name(f"{output.name}_others"), {dataset: 1000}, "test")
    best = output / "run" / "best.safetensors"
    after = f"{TEACHER}={best}" if best.is_file() else TEACHER
    report = measured(output / "report", tuple(dict.fromkeys(("ellipse", TEACHER, after))), others)
    (line, _) = report.by_dataset(report.headline)
    ellipse, before, *kept = line.values.values()
    dice = [ellipse, before, kept[0] if kept else None]
    (output / ROW).write_text(json.dumps(about | {"count": line.count, "dice": dice}))


PUBLISHED: dict[str, Callable[[Path], None]] = {
    "distill_small": distill_small,
    "finetune_5": partial(finetuned, "hippocampus_mri_msd", 5, 100),
    "finetune_20": partial(finetuned, "hippocampus_mri_msd", 20, 100),
    "finetune_20_nuclei": partial(finetuned, "nuclei_dsb2018", 20, 60),
}


def published_tables(output: Path) -> dict[str, str]:
    """The tables of what has run so far, by name."""
    rows = {name: json.loads(file.read_text()) for name in PUBLISHED if (file := output / name / ROW).is_file()}
    student = rows.pop("distill_small", None)
    tables = {"own-cases": own_cases_table([*rows.values()])} if rows else {}
    return tables | ({"small-student": student_table(student)} if student else {})


def own_cases_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Before and after fine-tuning, beside an ellipse in the box."""
    lines = [
        "| data set | cases | steps | minutes | memory | held-out cases, before | best | structures of others "
        "| ellipse | before | after |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        ellipse, before, after = row["dice"]
        lines.append(
            f"| {row['dataset']} | {row['cases']} | {row['steps']} | {row['minutes']:.1f} | {row['memory']:.1f} GB "
            f"| {row['own'][0]:.3f} | {row['own'][1]:.3f} | {row['count']} | {ellipse:.3f} | {before:.3f} "
            f"| {'nothing kept' if after is None else f'{after:.3f}'} |"
        )
    return "\n".join(lines)


def student_table(about: Mapping[str, Any]) -> str:
    """Teacher, student and an ellipse in the box by data set, those the student saw pictures of first."""
    rows = sorted(about["rows"], key=lambda row: (not row["learned"], row["dataset"]))
    lines = [
        "| data set | the student saw others of it | n | teacher | student | ellipse |", "|---|---|---:|---:|---:|---:|"
    ]  # fmt: skip
    for learned, word in ((True, "yes"), (False, "no")):
        own = [row for row in rows if row["learned"] is learned]
        means = [sum(dice) / len(own) for dice in zip(*(row["dice"] for row in own), strict=True)]
        mean = {"dataset": "mean", "count": sum(row["count"] for row in own), "dice": means}
        lines += [
            f"| {row['dataset']} | {word} | {row['count']} | {' | '.join(f'{dice:.3f}' for dice in row['dice'])} |"
            for row in (*own, mean)
        ]
    error = " to ".join(f"{value:.3f}" for value in about["error"])
    took = f"{about['minutes']:.1f} minutes of one thread, {about['memory']:.1f} GB"
    said = f"60 steps of 4 pictures, {took}; relative error of held-out embeddings {error}."
    return "\n".join([said, "", *lines])
