"""``delineate serve`` with a model that needs no time: python bright_server.py serve --port 0 --state FOLDER."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bright_predictor import BrightPredictor
from delineate.server.app import application, listening, run
from delineate.server.settings import ServerSettings

if __name__ == "__main__":
    settings = ServerSettings(port=0, token=os.environ["DELINEATE_TOKEN"], state=Path(sys.argv[-1]))
    bound = listening(settings)
    print(f"The page:  http://127.0.0.1:{bound.getsockname()[1]}/", file=sys.stderr, flush=True)
    run(application(settings, lambda name: BrightPredictor()), bound, settings)
