"""Writes the measured tables into docs/reference and the model card: ``make tables``, or those named as arguments.

Between ``<!-- NAME -->`` and ``<!-- /NAME -->`` stands what a command printed, and nothing else.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from delineate.bench import TABLE_HEAD, as_row, bench
from delineate.bench_clips import bench_clips
from delineate.bench_systems import bench_systems
from delineate.evaluation.comparison import FOLLOWED_OPINION, PARTS, CompareOptions, compare
from delineate.evaluation.comparison_tables import followed_table
from delineate.evaluation.comparison_tables import tables as tables_of
from delineate.evaluation.interactive_tables import prompts_table, taught_table
from delineate.evaluation.markdown import dataset_table, summary_table
from delineate.evaluation.runner import EvaluateOptions, chosen_cases, evaluate
from delineate.predictors.second_opinion import TABLE as OPINIONS
from delineate.predictors.second_opinion import opinion_table
from delineate.systems import SYSTEMS
from delineate.systems.routing import TABLE as ROUTES
from delineate.systems.sources import sources_table

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "delineate"
DATA = Path(os.environ.get("DELINEATE_DATA", ROOT.parent / "shared" / "data"))
# out of the history: git show COMMIT:src/delineate/weights/quill_vN.onnx; v7 in 87d4940, v0 in 0812db0
OLD = tuple(str(f) for v in (7, 0) if (f := ROOT / "runs" / f"quill_v{v}.onnx").is_file())
BASELINES = ("ellipse", "otsu", "grabcut", "random-walker")
FOLLOWERS = ("quill", *OLD, "ellipse", "grabcut")
COPIES = ("simulated_motion", "natural_judo_davis")  # clips made of pictures of other sets; of no patient
PROTOCOLS: dict[str, dict[str, Any]] = {  # following takes long, so a sample
    "box-2d": {"predictors": ("quill", *OLD, *BASELINES)},
    "volume-box": {"predictors": FOLLOWERS, "limit": 2, "structures": 2},
    "video-mask": {"predictors": FOLLOWERS, "limit": 4, "structures": 1},
    "clicks-2d": {"predictors": ("quill", *OLD[:1]), "limit": 4, "structures": 2},
}


def write(file: Path, name: str, text: str) -> None:
    """Replace what stands between a name's markers."""
    old = file.read_text()
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(old):
        return
    file.write_text(pattern.sub(lambda m: m[1] + text.strip() + "\n" + m[2], old))


def systems() -> str:
    """The table of docs/reference/systems.md."""
    rows = [f"| `{s.name}` | {s.summary} | {s.license} | {s.parity or '-'} |" for s in SYSTEMS.values()]
    return "\n".join(["| name | what it is | license of the weights | compared |", "|---|---|---|---|", *rows])


def compared() -> dict[str, str]:
    """Models side by side: every table; what ``-m auto`` and a second opinion go by is written into the package."""
    done = compare(CompareOptions(data=DATA, without=COPIES, output=ROOT / "runs" / "comparison"))
    for file, table in ((ROUTES, done.routing), (OPINIONS, done.opinion_table)):
        file.write_text(table.model_dump_json(indent=1) + "\n")
    return tables_of(done)


def followed() -> dict[str, str]:
    """What a second opinion says of frames that were followed, with the map that ships."""
    options = CompareOptions(data=DATA, without=COPIES, output=ROOT / "runs" / "comparison")
    report = evaluate(options.part(next(part for part in PARTS if part.protocol == FOLLOWED_OPINION)))
    return {"compare-followed": followed_table(report, opinion_table())}


def interactive() -> dict[str, str]:
    """What the adapter ``interactive`` taught LiteMedSAM, on a few cases of each data set."""
    before, after = "lite_medsam", "lite_medsam:interactive"
    output = ROOT / "runs" / "evaluation"
    report = evaluate(
        EvaluateOptions(
            data=DATA, protocol="interactive", predictors=(before, after), limit=2, structures=1, output=output,
            datasets=kept_sets("interactive"),
        )
    )  # fmt: skip
    return {"interactive": prompts_table(report), "interactive-sets": taught_table(report, before, after)}


def kept_sets(protocol: str) -> tuple[str, ...]:
    """Data sets of a protocol without copies of others."""
    cases = chosen_cases(EvaluateOptions(data=DATA, protocol=protocol))
    return tuple(sorted({case.dataset for case in cases} - set(COPIES)))


SPEED: dict[str, Callable[[], Any]] = {
    "bench": bench, "bench-systems": bench_systems, "bench-clips": partial(bench_clips, torch.device("cpu")),
}  # fmt: skip


def main(wanted: Sequence[str]) -> None:
    write(ROOT / "docs" / "reference" / "systems.md", "systems", systems())
    write(ROOT / "docs" / "reference" / "weights.md", "sources", sources_table())
    pages = [ROOT / "docs" / "reference" / f"{name}.md" for name in ("comparison", "quality", "speed", "training")]
    cards = [
        PACKAGE / "quill" / "weights" / "QUILL.md",
        PACKAGE / "systems" / "adapters" / "lite_medsam_interactive.md",
    ]
    files = [*pages, ROOT / "README.md", *cards]
    tables = {
        name: "\n".join([TABLE_HEAD, *map(as_row, measure())])
        for name, measure in SPEED.items()
        if not wanted or name in wanted
    }
    for name, made in {"compare": compared, "followed": followed, "interactive": interactive}.items():
        if not wanted or name in wanted:
            tables |= made()
    for protocol, options in PROTOCOLS.items():
        if wanted and protocol not in wanted:
            continue
        report = evaluate(EvaluateOptions(data=DATA, protocol=protocol, output=ROOT / "runs" / "evaluation", **options))
        tables[protocol] = dataset_table(report)
        tables[f"{protocol}-summary"] = summary_table(report)
    for file in files:
        for name, text in tables.items():
            write(file, name, text)


if __name__ == "__main__":
    main(sys.argv[1:])
