"""The WebSocket of a session: clicks in, outlines out as run lengths, progress as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from delineate.core.errors import DelineateError, foreseen
from delineate.core.json_file import fault
from delineate.core.prompt_log import AddPrompt, AddPrompts
from delineate.core.rle import Rle
from delineate.server.engine import Priority
from delineate.server.messages import Act, Action, ChangedMask, Follow
from delineate.server.problems import RefusalError, problem
from delineate.server.service import Service
from delineate.server.sessions import LiveSession

SUBPROTOCOL: Final = "delineate.v1"
NO_TEXT: Final = 1003  # unsupported data
MOST_UNSENT: Final = 10_000  # messages to one client that does not read them


class _Wish(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    seq: int = Field(default=0, ge=0, description="Chosen by the client; the answer carries it.")


class DoAct(_Wish):
    do: Literal["act"] = "act"
    action: Action
    revision: int | None = None


class DoStep(_Wish):
    do: Literal["undo", "redo"]


class DoFollow(_Wish):
    do: Literal["follow"] = "follow"
    follow: Follow = Field(default_factory=Follow)


class DoCancel(_Wish):
    do: Literal["cancel"] = "cancel"
    job: str


class DoLook(_Wish):
    """Encode a frame ahead of a click on it."""

    do: Literal["look"] = "look"
    frame: int


class DoPreview(_Wish):
    """What a prompt would give, while the pointer moves: the newest one alone is answered."""

    do: Literal["preview"] = "preview"
    action: Annotated[AddPrompt | AddPrompts, Field(discriminator="event")]


Wish = Annotated[DoAct | DoStep | DoFollow | DoCancel | DoLook | DoPreview, Field(discriminator="do")]
WISH: Final[TypeAdapter[Wish]] = TypeAdapter(Wish)


def live_route(service: Service) -> APIRouter:
    """``/api/v1/sessions/{session}/live``."""
    router = APIRouter()

    @router.websocket("/api/v1/sessions/{session}/live")
    async def live(socket: WebSocket, session: str) -> None:
        try:
            found = await service.session(session)
        except DelineateError as error:
            await socket.close(1008, error.code)
            return
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope.get("subprotocols", ()) else None)
        await Connection(service, found, socket).run()

    return router


class Connection:
    """One client that looks at a session and clicks."""

    def __init__(self, service: Service, live: LiveSession, socket: WebSocket) -> None:
        self._service, self._live, self._socket = service, live, socket
        self._loop = asyncio.get_running_loop()
        self._unsent: asyncio.Queue[tuple[dict[str, Any], tuple[ChangedMask, ...]]] = asyncio.Queue(MOST_UNSENT)
        self._newest_preview = 0

    async def run(self) -> None:
        """Answer until the client goes."""
        self._live.listeners.add(self._hear)
        sending = asyncio.create_task(self._send_all())
        wishes: set[asyncio.Task[None]] = set()
        try:
            self._put({"kind": "state", **self._live.state()}, self._live.masks())
            while True:
                task = asyncio.create_task(self._answer(await self._socket.receive_text(), time.perf_counter()))
                wishes.add(task)
                task.add_done_callback(wishes.discard)
        except KeyError:  # bytes, where messages are text
            with contextlib.suppress(RuntimeError):
                await self._socket.close(NO_TEXT)
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            self._live.listeners.discard(self._hear)
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await sending

    def _hear(self, message: dict[str, Any], changed: tuple[ChangedMask, ...]) -> None:
        """What other threads tell."""
        self._loop.call_soon_threadsafe(self._put, message, changed)

    def _put(self, message: dict[str, Any], changed: tuple[ChangedMask, ...] = ()) -> None:
        with contextlib.suppress(asyncio.QueueFull):  # the client asks for the masks since its revision
            self._unsent.put_nowait((message, changed))

    async def _send_all(self) -> None:
        while True:
            message, changed = await self._unsent.get()
            names = list(dict.fromkeys(one.object for one in changed))
            await self._socket.send_json(message | {"masks": len(changed), "names": names})
            for one in changed:
                await self._socket.send_bytes(one.as_bytes(names.index(one.object)))

    async def _answer(self, text: str, began: float) -> None:
        seq = 0
        try:
            wish = _wish(text)
            seq = wish.seq
            answer, changed = await self._do(wish)
        except DelineateError as error:
            self._put({"kind": "error", "seq": seq, **problem(error)})
        except Exception as error:
            self._put({"kind": "error", "seq": seq, **problem(foreseen(error, "the message"))})
        else:
            if answer is not None:
                milliseconds = round((time.perf_counter() - began) * 1000, 1)
                self._put({"kind": "answer", "seq": seq, "ms": milliseconds} | answer, changed)

    async def _do(self, wish: Wish) -> tuple[dict[str, Any] | None, tuple[ChangedMask, ...]]:
        id = self._live.id
        match wish:
            case DoAct():
                done = await self._service.act(id, Act(action=wish.action, revision=wish.revision))
                return _without_masks(done), ()
            case DoStep():
                return _without_masks(await self._service.step(id, wish.do == "undo")), ()
            case DoFollow():
                return (await self._service.follow(id, wish.follow)).as_json(), ()
            case DoCancel():
                job = self._service.jobs.get(wish.job)
                job.cancel()
                return job.as_json(), ()
            case DoLook():
                await self._service.look(self._live, wish.frame)
                return {"frame": wish.frame}, ()
            case DoPreview():
                return await self._preview(wish)

    async def _preview(self, wish: DoPreview) -> tuple[dict[str, Any] | None, tuple[ChangedMask, ...]]:
        self._newest_preview = max(self._newest_preview, wish.seq)

        def work() -> ChangedMask | None:
            if wish.seq < self._newest_preview:
                return None
            result = self._live.session.preview(wish.action.prompts, wish.action.object)
            return ChangedMask(result.object, result.frame, Rle.encode(result.mask), result.score)

        found = await self._service.compute(partial(work), Priority.PREVIEW)
        return (None, ()) if found is None else ({"preview": True, "score": round(found.score, 4)}, (found,))


def _wish(text: str) -> Wish:
    try:
        return WISH.validate_json(text)
    except ValidationError as error:
        raise RefusalError(
            "E-REQUEST", f"message: {fault(error)}.", "The messages are in the docs.", status=422
        ) from None


def _without_masks(answer: dict[str, Any]) -> dict[str, Any]:
    """The outlines of a change go to everybody who looks, in bytes, with all prompts."""
    return {key: value for key, value in answer.items() if key not in ("changed", "prompts")}
