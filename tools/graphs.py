"""Writes the ONNX graphs without weights that ship in the package, from networks with random weights.

``python tools/graphs.py [SYSTEM ...]``; all of them without an argument.
"""

from __future__ import annotations

import sys
from typing import cast

from delineate.predictors.export.graph import export_graph
from delineate.predictors.sam import SamPredictor
from delineate.predictors.weightless_graph import GRAPHS
from delineate.systems import SYSTEMS, BuildOptions

if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.name for path in GRAPHS.iterdir()):
        options = BuildOptions(untrained=True, device="cpu", precision="fp32", backend="torch")
        card = export_graph(cast(SamPredictor, SYSTEMS[name].build(options)), GRAPHS / name)
        print(name, *(f"{part}: {(GRAPHS / name / one.file).stat().st_size} bytes" for part, one in card.parts.items()))
