"""What mkdocs calls while it builds the site: pages made from the code, and links that lead out of docs/.

Pages of the repository's root are shown on the site from where they lie. A link to a file that is on the site becomes
a link within it; one to any other file of the repository becomes its text, so that pages read well on both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

import command_pages
import error_codes
import request_pages
from delineate import _WHERE
from delineate.predictors.bundle_card import BundleCard
from delineate.schemas import MODELS, schema_text

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SHOWN = {  # files outside docs/, and the pages they are shown as
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
    "src/delineate/quill/weights/QUILL.md": "reference/model-card.md",
}
SCHEMAS = MODELS | {"model.schema.json": BundleCard}
MODULES = {  # below the public names: what systems, readers, servers and measures of others build on
    "Predictors": (
        "What a model is here.",
        ("delineate.predictors.frame_predictor", "delineate.predictors.capabilities"),
    ),
    "Trackers": ("What follows a structure from frame to frame.", ("delineate.tracking.tracker",)),
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """A folder in the navigation stands for its pages, the index first, the others by name."""
    for entry in config.nav:
        for title, pages in entry.items():
            if isinstance(pages, str) and pages.endswith("/"):
                own = sorted((DOCS / pages).glob("*.md"), key=lambda file: (file.name != "index.md", file.name))
                entry[title] = [file.relative_to(DOCS).as_posix() for file in own]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made, and the schemas."""
    for uri, text in made():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Mend links that lead out of docs/."""
    shown = {page_uri: file for file, page_uri in SHOWN.items()}
    uri = page.file.src_uri
    return mend_links(markdown, ROOT / shown[uri] if uri in shown else DOCS / uri, uri)


def mend_links(markdown: str, file: Path, uri: str) -> str:
    """Links of a file as they hold where it is shown: on the site to pages, of other files the text alone."""

    def mended(match: re.Match[str]) -> str:
        mark, text, target, anchor = match[1], match[2], match[3], match[4] or ""
        place = Path(os.path.normpath(file.parent / target))
        if not place.exists() or not place.is_relative_to(ROOT):
            return match[0]  # a page that is made, or a mistake: mkdocs finds it
        name = place.relative_to(ROOT).as_posix()
        on_site = name.removeprefix("docs/") if place.is_relative_to(DOCS) else SHOWN.get(name)
        if on_site is None or place.is_dir():
            return text
        return f"{mark}[{text}]({os.path.relpath(on_site, PurePosixPath(uri).parent)}{anchor})"

    return LINK.sub(mended, markdown)


def made() -> Iterator[tuple[str, str]]:
    """Where each page or schema that is made goes, and its text."""
    yield "reference/commands.md", command_pages.page()
    yield "reference/codes.md", error_codes.page()
    yield "reference/python.md", _python()
    yield "reference/requests.md", request_pages.page()
    for name, text in request_pages.schemas():
        yield f"reference/schemas/{name}", text
    for name, model in SCHEMAS.items():
        yield f"reference/schemas/{name}", schema_text(model)
    for file, uri in SHOWN.items():
        yield uri, (ROOT / file).read_text()


def _python() -> str:
    """The Python reference: every public name from its docstring, then the modules that extensions build on."""
    parts = [_PYTHON]
    parts += [f"::: {module}.{name}\n" for name, module in _WHERE.items()]
    for title, (text, modules) in MODULES.items():
        parts += [f"## {title}\n\n{text}\n", *(f"::: {module}\n" for module in modules)]
    return "\n".join(parts)


_PYTHON = """# Python

What `import delineate` offers. Names load when they are first used, so importing stays quick and free of torch.
Whatever fails for a reason that a person can mend raises a [`DelineateError`](codes.md).

```python
import delineate

print(sorted(set(delineate.__all__) - {"__version__"}))
```

## The package
"""
