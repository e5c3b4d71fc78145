"""The documentation builds without a warning, and its links lead somewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import REPOSITORY
from docs_hooks import SHOWN, mend_links

PAGES_OF_THE_SITE = (
    "index.html",
    "concepts/sessions.html",
    "how-to/replay.html",
    "extend/index.html",
    "reference/commands.html",
    "reference/python.html",
    "reference/requests.html",
    "reference/schemas/segment.request.schema.json",
    "reference/codes.html",
    "reference/schemas/manifest.schema.json",
    "gallery/index.html",
    "project/changelog.html",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=280, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


@pytest.mark.parametrize("page", PAGES_OF_THE_SITE)
def test_the_site_has_its_pages(site: Path, page: str) -> None:
    assert (site / page).stat().st_size > 1000


def test_the_python_reference_comes_from_the_docstrings(site: Path) -> None:
    page = (site / "reference" / "python.html").read_text()
    for name in ("open_scan", "Session", "Segmentation", "FramePredictor"):
        assert f">{name}<" in page or name in page


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text()
        for tag in ('src="http', '<link rel="stylesheet" href="http', "fonts.googleapis"):
            assert tag not in text, page.name


@pytest.mark.parametrize(
    ("link", "on_site"),
    [
        ("[a](docs/reference/systems.md)", "[a](../reference/systems.md)"),
        ("[a](docs/reference/systems.md#in-use)", "[a](../reference/systems.md#in-use)"),
        ("[a](CHANGELOG.md)", "[a](changelog.md)"),
        ("[`a`](src/delineate/systems)", "`a`"),
        ("[a](tests/pages.py)", "a"),
        ("[a](https://example.org/a.md)", "[a](https://example.org/a.md)"),
        ("[a](docs/no/such/page.md)", "[a](docs/no/such/page.md)"),
        ("![a](docs/gallery/volume.png)", "![a](../gallery/volume.png)"),
    ],
    ids=["page", "anchor", "shown page", "folder", "file", "address", "nowhere", "picture"],
)
def test_links_out_of_the_documentation_are_mended(link: str, on_site: str) -> None:
    assert mend_links(link, REPOSITORY / "CONTRIBUTING.md", SHOWN["CONTRIBUTING.md"]) == on_site
