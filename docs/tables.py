"""Writes the measured tables into the README and the model card: ``make tables``.

Between ``<!-- NAME -->`` and ``<!-- /NAME -->`` stands what a command printed, and nothing else.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from delineate.bench import as_markdown, bench
from delineate.evaluation.report import dataset_table, summary_table
from delineate.evaluation.runner import EvaluateOptions, evaluate

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("DELINEATE_DATA", ROOT.parent / "shared" / "data"))
FOLLOWERS = ("quill", "ellipse", "grabcut")
PROTOCOLS: dict[str, dict[str, Any]] = {  # following takes long, so a sample
    "box-2d": {},
    "volume-box": {"predictors": FOLLOWERS, "limit": 1, "structures": 2},
    "video-mask": {"predictors": FOLLOWERS, "limit": 2, "structures": 1},
    "clicks-2d": {"limit": 1, "structures": 1},
}


def write(file: Path, name: str, text: str) -> None:
    """Replace what stands between a name's markers."""
    old = file.read_text()
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(old):
        return
    file.write_text(pattern.sub(lambda m: m[1] + text.strip() + "\n" + m[2], old))


def main() -> None:
    files = [ROOT / "README.md", ROOT / "src" / "delineate" / "weights" / "QUILL.md"]
    tables = {"bench": as_markdown(bench())}
    for protocol, options in PROTOCOLS.items():
        report = evaluate(EvaluateOptions(data=DATA, protocol=protocol, output=ROOT / "runs" / "evaluation", **options))
        tables[protocol] = dataset_table(report)
        tables[f"{protocol}-summary"] = summary_table(report)
    for file in files:
        for name, text in tables.items():
            write(file, name, text)


if __name__ == "__main__":
    main()
