"""Simulated people: each speaks Streamlit's own protocol over a websocket, opens a board and clicks on it."""

import asyncio
import json
import random
import time
from dataclasses import dataclass, field

import httpx
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

_ENDED = (0, 1, 3)  # well, with an error, a fragment well; 2 is followed by another run


@dataclass
class Visitor:
    """One person with one tab."""

    url: str
    cookie: str
    project: str
    seed: int
    clicks: list[float] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    applied: int = 0
    gallery: str = ""
    fragment: str = ""
    entries: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)

    async def live(self, stop_at: float) -> None:
        """Open the page, look at pictures, click every 2 to 6 seconds until `stop_at` (monotonic)."""
        chance = random.Random(self.seed)
        try:
            await asyncio.sleep(chance.uniform(0, 5))
            await self._visit(chance, stop_at)
        except (OSError, TimeoutError, httpx.HTTPError, websockets.exceptions.WebSocketException) as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    async def _visit(self, chance: random.Random, stop_at: float) -> None:
        address = self.url.replace("http://", "ws://") + "/_stcore/stream"
        headers = {"Cookie": self.cookie, "Origin": self.url}
        async with (
            websockets.connect(
                address, additional_headers=headers, subprotocols=["streamlit"], max_size=None
            ) as socket,
            httpx.AsyncClient(base_url=self.url, headers={"Cookie": self.cookie}, timeout=60) as browser,
        ):
            start = time.perf_counter()
            await socket.send(self._rerun())
            await self._until_finished(socket)
            self.opened.append(time.perf_counter() - start)
            if not self.entries:
                self.errors.append(f"{self.project}: no board on the page")
                return
            await self._look(browser, self.pictures[:12])
            while time.monotonic() < stop_at:
                await asyncio.sleep(chance.uniform(2, 6))
                await self._click(socket, chance.choice(self.entries))
                await self._look(browser, chance.sample(self.pictures, min(3, len(self.pictures))))

    async def _click(self, socket: websockets.ClientConnection, key: str) -> None:
        state = "keep" if self.states.get(key) == "drop" else "drop"
        self.applied = max(self.applied + 1, int(time.time() * 1000))
        start = time.perf_counter()
        await socket.send(self._rerun([{"seq": self.applied, "op": "state", "keys": [key], "state": state}]))
        await self._until_finished(socket)
        self.clicks.append(time.perf_counter() - start)
        if self.states.get(key) != state:
            self.errors.append(f"{self.project}: a click was lost")

    async def _look(self, browser: httpx.AsyncClient, addresses: list[str]) -> None:
        for answer in await asyncio.gather(*(browser.get(address) for address in addresses)):
            if answer.status_code != 200:
                self.errors.append(f"{self.project}: picture {answer.status_code}")

    def _rerun(self, operations: list[dict[str, object]] | None = None) -> bytes:
        message = BackMsg()
        message.rerun_script.query_string = f"project={self.project}"
        if operations is not None:
            message.rerun_script.fragment_id = self.fragment
            widget = message.rerun_script.widget_states.widgets.add()
            widget.id = self.gallery
            widget.json_value = json.dumps({"ops": operations})
        return message.SerializeToString()

    async def _until_finished(self, socket: websockets.ClientConnection) -> None:
        async with asyncio.timeout(60):
            while True:
                message = ForwardMsg.FromString(await socket.recv())
                kind = message.WhichOneof("type")
                if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
                    self._take(message)
                if kind == "script_finished" and message.script_finished in _ENDED:
                    if message.script_finished == 1:
                        self.errors.append(f"{self.project}: the script failed")
                    return

    def _take(self, message: ForwardMsg) -> None:
        element = message.delta.new_element
        if element.WhichOneof("type") == "exception":
            self.errors.append(f"{self.project}: {element.exception.message[:200]}")
        if element.WhichOneof("type") != "bidi_component" or "gallery" not in element.bidi_component.component_name:
            return
        component = element.bidi_component
        value = json.loads(component.json or component.mixed.json)
        entries = [entry for section in value["sections"] for entry in section["entries"]]
        self.gallery, self.fragment = component.id, message.delta.fragment_id
        self.entries = [entry["key"] for entry in entries]
        self.states = {entry["key"]: entry["state"] for entry in entries}
        self.pictures = [entry["src"] for entry in entries]
