"""Writes the measured tables into the README and the model card: ``make tables``.

Between ``<!-- NAME -->`` and ``<!-- /NAME -->`` stands what a command printed, and nothing else.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from delineate.bench import as_markdown, bench
from delineate.evaluation.report import dataset_table, summary_table
from delineate.evaluation.runner import EvaluateOptions, evaluate

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("DELINEATE_DATA", ROOT.parent / "shared" / "data"))
PROTOCOLS = {"box-2d": {}, "clicks-2d": {"structures": 2, "limit": 6}, "volume-box": {"limit": 4}, "video-mask": {}}


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
