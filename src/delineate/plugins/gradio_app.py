"""A small page made with Gradio, for demonstrations and its API: ``python -m delineate.plugins.gradio_app``.

It listens on this machine alone and reports nothing. Pictures go as PNG: masks are exact.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import DelineateError, MissingExtraError
from delineate.core.prompts import Point
from delineate.core.scan import ScanKind
from delineate.io.opening import open_scan
from delineate.io.overlay import overlay_frame
from delineate.io.saving import save
from delineate.predictors.frame_predictor import Predictor
from delineate.preprocess.display import display_window
from delineate.session import Session
from delineate.systems import shipped_predictor

ON, BESIDE = "belongs to it", "does not"
ENDINGS: Final = {ScanKind.IMAGE: "outlines.png", ScanKind.VOLUME: "outlines.nii.gz", ScanKind.VIDEO: "outlines.npz"}
STEP: Final = 5  # frames between looks at what is followed


def picture(session: Session, frame: int) -> NDArray[np.uint8]:
    """A frame with its outlines: (height, width, 3)."""
    return overlay_frame(session.scan, session.segmentation, int(frame), display_window(session.scan))


def opened(path: str, predictor: Predictor) -> Session:
    """A session on a file."""
    return Session(open_scan(path), predictor)


def clicked(session: Session, frame: int, x: float, y: float, structure: str, sign: str) -> float:
    """Answer a click; the confidence, 0 to 1."""
    name = structure.strip() or "structure"
    return session.prompt(Point(float(x), float(y), frame=int(frame), positive=sign == ON), name).score


def exported(session: Session) -> str:
    """The outlines as a file: a label picture, a NIfTI volume, arrays of a video."""
    target = Path(tempfile.mkdtemp(prefix="delineate-gradio-")) / ENDINGS[session.scan.kind]
    return str(save(session.segmentation, target, session.scan)[0])


def app(predictor: Predictor | None = None) -> Any:
    """The page, as ``gradio.Blocks``. Raises MissingExtraError without Gradio."""
    try:
        import gradio
    except ImportError as error:
        raise MissingExtraError("The Gradio page (gradio)", "gradio") from error
    model = predictor or shipped_predictor()

    def told(do: Callable[..., Any]) -> Callable[..., Any]:
        """Errors in words, as Gradio shows them."""

        def doing(*given: Any) -> Any:
            try:
                return do(*given)
            except DelineateError as error:
                raise gradio.Error(str(error)) from error

        return doing

    def started(path: str) -> tuple[Any, ...]:
        session = opened(path, model)
        last, middle = len(session.scan) - 1, len(session.scan) // 2
        slider = gradio.Slider(0, max(1, last), middle, step=1, visible=last > 0)
        return session, slider, picture(session, middle), "Click on a structure."

    def pointed(session: Session, frame: int, name: str, sign: str, place: Any) -> tuple[Any, ...]:
        x, y = place.index
        score = clicked(session, frame, x, y, name, sign)
        return picture(session, frame), f"{name}: {score:.0%} sure."

    def followed(session: Session, frame: int) -> Iterator[tuple[Any, ...]]:
        try:
            for one in session.propagating():
                if one.done % STEP == 0:
                    yield picture(session, frame), f"{one.done} of {one.total} followed"
        except DelineateError as error:
            raise gradio.Error(str(error)) from error
        yield picture(session, frame), "Followed. Look at it, and click where it is wrong."

    def undone(session: Session, frame: int) -> tuple[Any, ...]:
        done = session.undo()
        return picture(session, frame), "Taken back." if done else "There is nothing to take back."

    with gradio.Blocks(title="Delineate", analytics_enabled=False) as page:
        session = gradio.State(None)
        file = gradio.File(label="An image, a volume or a video", type="filepath")
        with gradio.Row():
            name = gradio.Textbox("structure", label="Structure")
            sign = gradio.Radio([ON, BESIDE], value=ON, label="What you click on")
        shown = gradio.Image(label="Click on a structure", format="png", interactive=False)
        frame = gradio.Slider(0, 1, 0, step=1, label="Frame", visible=False)
        message = gradio.Markdown()
        with gradio.Row():
            follow, undo, keep = (gradio.Button(text) for text in ("Follow", "Undo", "Save"))
        saved = gradio.File(label="Outlines")

        def on_click(session: Session, frame: int, name: str, sign: str, place: gradio.SelectData) -> tuple[Any, ...]:
            return told(pointed)(session, frame, name, sign, place)

        def click_at(session: Session, frame: int, name: str, sign: str, x: float, y: float) -> tuple[Any, ...]:
            return told(pointed)(session, frame, name, sign, _Place((x, y)))

        on_click.__annotations__["place"] = gradio.SelectData  # Gradio reads it to hand over where was clicked
        file.upload(told(started), [file], [session, frame, shown, message], api_name="open")
        shown.select(on_click, [session, frame, name, sign], [shown, message], api_name=False)
        frame.release(told(picture), [session, frame], [shown], api_name="show")
        follow.click(followed, [session, frame], [shown, message], api_name="follow")
        undo.click(told(undone), [session, frame], [shown, message], api_name="undo")
        keep.click(told(exported), [session], [saved], api_name="export")
        x, y = gradio.Number(visible=False), gradio.Number(visible=False)
        gradio.Button(visible=False).click(
            click_at, [session, frame, name, sign, x, y], [shown, message], api_name="click"
        )
    return page


class _Place:
    """Where was clicked, as Gradio tells it."""

    def __init__(self, index: tuple[float, float]) -> None:
        self.index = index


if __name__ == "__main__":
    app().launch(server_name="127.0.0.1", inbrowser=True)
