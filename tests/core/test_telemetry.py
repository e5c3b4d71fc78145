"""Nothing phones home, and nothing is written to the home folder but the documented cache of models.

Where the machine allows it, processes run in a network of their own whose DNS notes every question; there, libraries
that are left alone show that these tests would find what they look for.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import every_verb
import watched_network
from delineate.core import telemetry

TESTS = Path(__file__).resolve().parents[1]
SOURCES = Path(telemetry.__file__).parents[2]
CACHE = Path("cache/delineate/models")  # documented: with the weights that were imported or exported
LONG = 78  # seconds; onnxruntime asks for its makers' host after about one minute
SWITCHED_ON = {
    "ORT_DISABLE_TELEMETRY": "0",
    "HF_HUB_DISABLE_TELEMETRY": "0",
    "DO_NOT_TRACK": "0",
    "GRADIO_ANALYTICS_ENABLED": "True",
    "RAY_USAGE_STATS_ENABLED": "1",
}
CLICK = """
import numpy as np, delineate
from delineate.systems import BuildOptions, build
def click(backend="torch"):
    scan = delineate.Scan.from_image(np.full((64, 64), 90, np.uint8))
    session = delineate.Session(scan, build("quill", BuildOptions(backend=backend)))
    session.prompt(delineate.Box(10, 10, 50, 50))
"""
WORKER = """
import multiprocessing as mp
from delineate.systems import shipped_predictor
if __name__ == "__main__":
    with mp.get_context("{how}").Pool(1) as pool:
        pool.apply(shipped_predictor)
"""
DOWNLOAD = "import time; from huggingface_hub.utils import send_telemetry; send_telemetry('made-up'); time.sleep(2)"


@dataclass(frozen=True)
class Run:
    """A process with an empty home folder, and what it left and asked for."""

    folder: Path
    process: subprocess.Popen[str]

    @classmethod
    def begin(cls, folder: Path, *command: object, **variables: str) -> Run:
        home = folder / "home"
        home.mkdir(parents=True)
        words = [sys.executable, *map(str, command)]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, (TESTS / "socket_log", SOURCES, TESTS))),
            "OMP_NUM_THREADS": "1",
            "HOME": str(home),
            "SOCKET_LOG": str(folder / "sockets"),
            **{f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA", "STATE")},
        }
        if not watched_network.why_not():
            words = watched_network.watched(folder / "names", *words)
        return cls(
            folder,
            subprocess.Popen(
                words, cwd=folder, env=environment | variables, text=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            ),
        )  # fmt: skip

    def end(self, within: float = 280) -> str:
        """What it said on stderr."""
        _, said = self.process.communicate(timeout=within)
        assert self.process.returncode == 0, said
        return said

    def asked(self) -> set[str]:
        """Names and addresses, of every process that it started too."""
        logs = [self.folder / "names", self.folder / "sockets"]
        return {line for log in logs if log.is_file() for line in log.read_text().splitlines()}

    def left(self) -> list[str]:
        home = self.folder / "home"
        files = [path.relative_to(home) for path in home.rglob("*") if not path.is_dir()]
        return [str(path) for path in files if not path.is_relative_to(CACHE)]


@pytest.fixture
def watched() -> None:
    if reason := watched_network.why_not():
        pytest.skip(reason)


def test_no_verb_is_forgotten() -> None:
    assert set(every_verb.verbs()) == set(every_verb.WORDS)


OWN_SERVER = {"socket.getaddrinfo 127.0.0.1", "socket.connect 127.0.0.1"}  # what serve --smoke asks itself


@pytest.mark.timeout(600)
def test_every_verb_is_silent_for_longer_than_a_minute(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    reason = watched_network.why_not()
    work = tmp_path / "work"
    work.mkdir()
    ours = Run.begin(tmp_path / "ours", TESTS / "every_verb.py", work, 0 if reason else LONG, **SWITCHED_ON)
    if reason:
        ours.end(within=580)
        assert ours.left() == [] and ours.asked() <= OWN_SERVER
        pytest.skip(f"the home folder stays empty; what native code asks for was not watched: {reason}")
    alone = Run.begin(tmp_path / "alone", "-c", f"import onnxruntime, time; time.sleep({LONG})")
    ours.end(within=580)
    assert ours.left() == [] and ours.asked() <= OWN_SERVER
    assert (ours.folder / "home" / CACHE / "tiny_sam.pt").is_file()
    alone.end()
    if not alone.asked():
        pytest.skip("every verb is silent; so is this onnxruntime, left alone")


@pytest.mark.parametrize(
    "variables", [pytest.param({}, id="variables-unset"), pytest.param(SWITCHED_ON, id="variables-switched-on")]
)
@pytest.mark.parametrize(
    ("code", "needs"),
    [
        pytest.param(CLICK + "click()", "onnxruntime", id="python-onnxruntime"),
        pytest.param(CLICK + "click('openvino')", "openvino", id="python-openvino"),
        pytest.param(
            "import delineate, onnxruntime, openvino; openvino.convert_model", "openvino", id="imported-after"
        ),
        pytest.param(WORKER.format(how="spawn"), "onnxruntime", id="worker-spawn"),
        pytest.param(WORKER.format(how="forkserver"), "onnxruntime", id="worker-forkserver"),
        pytest.param(
            "import delineate, subprocess, sys; subprocess.run([sys.executable, '-c', 'import onnxruntime'])",
            "onnxruntime",
            id="another-program",
        ),
        pytest.param("import sys; sys.argv[1:] = ['models', 'list']; import delineate.__main__", "typer", id="command"),
        pytest.param(f"import delineate; {DOWNLOAD}", "huggingface_hub", id="hub"),
        pytest.param(f"import huggingface_hub.constants, delineate; {DOWNLOAD}", "huggingface_hub", id="hub-before"),
    ],
)
def test_entry_points_are_silent(code: str, needs: str, variables: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip(needs)
    script = tmp_path / "script.py"
    script.write_text(code)
    run = Run.begin(tmp_path / "run", script, **variables)
    run.end()
    assert run.left() == [] and run.asked() == set()


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize(
    ("module", "code"),
    [
        pytest.param("onnxruntime", "import onnxruntime", id="onnxruntime"),
        pytest.param("openvino", "import openvino, time; time.sleep(1)", id="openvino"),
        pytest.param("huggingface_hub", DOWNLOAD, id="huggingface_hub"),
    ],
)
def test_these_tests_find_what_is_left_alone(module: str, code: str, tmp_path: Path) -> None:
    pytest.importorskip(module)
    run = Run.begin(tmp_path / "run", "-c", code)
    run.end()
    reporter = next(one for one in telemetry.REPORTERS if one.module == module)
    if not (run.left() or run.asked()):
        pytest.skip(f"this {module} does not report, left alone")
    assert all(any(name.removeprefix(".") in left for left in run.left()) for name in reporter.leaves)
    assert module == "onnxruntime" or run.asked()


@pytest.mark.usefixtures("watched")
def test_a_name_that_is_asked_for_is_found(tmp_path: Path) -> None:
    run = Run.begin(tmp_path, "-c", "import socket; socket.gethostbyname_ex('localhost.example.invalid')")
    run.process.communicate(timeout=60)
    assert "localhost.example.invalid" in run.asked()


EARLY_ONNXRUNTIME = """
import sys, types
early = sys.modules["onnxruntime"] = types.ModuleType("onnxruntime")
early.disable_telemetry_events = lambda: sys.stderr.write("stopped")
import delineate
"""
EARLY_OPENVINO = """
import sys, types
class Telemetry:
    consent = True
    _one = None
    def __new__(cls): cls._one = cls._one or object.__new__(cls); return cls._one
sys.modules["openvino"] = types.ModuleType("openvino")
sys.modules["openvino_telemetry"] = early = types.ModuleType("openvino_telemetry")
early.Telemetry = Telemetry
import delineate
sys.stderr.write("stopped" if not Telemetry().consent else "goes on")
"""


@pytest.mark.parametrize(
    ("code", "variables", "is_told"),
    [
        pytest.param(EARLY_ONNXRUNTIME, {}, True, id="onnxruntime"),
        pytest.param(EARLY_ONNXRUNTIME, {"ORT_DISABLE_TELEMETRY": "0"}, True, id="onnxruntime-switched-on"),
        pytest.param(EARLY_ONNXRUNTIME, {"ORT_DISABLE_TELEMETRY": "true"}, False, id="onnxruntime-switched-off"),
        pytest.param(EARLY_OPENVINO, {}, True, id="openvino"),
    ],
)
def test_what_was_imported_before_is_stopped_and_told(
    code: str, variables: dict[str, str], is_told: bool, tmp_path: Path
) -> None:
    run = Run.begin(tmp_path / "run", "-c", code, **variables)
    said = run.end()
    assert "stopped" in said
    assert ("imported before delineate, may have reported" in said) is is_told
