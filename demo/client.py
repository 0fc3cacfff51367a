"""ComfyUI's HTTP API and websocket, for scripts and tests.

    result = Client(url).run(prompt).succeeded()
    result.images[0]                    # the bytes of the first picture
"""
from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from .workflows import Prompt

_local = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy


def answers(url: str) -> bool:
    """Whether a page is served there."""
    try:
        return bool(_local.open(url, timeout=10).status == 200)
    except OSError:
        return False


class ComfyUIError(RuntimeError):
    """ComfyUI could not be installed or started, or went away."""


class PromptRejected(ValueError):
    """The server refused a prompt before running it; `node_errors` is its own account."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.node_errors: dict[str, Any] = answer.get("node_errors") or {}
        lines = [f"ComfyUI refused the prompt: {answer.get('error')}"]
        for node, report in self.node_errors.items():
            lines += [f"  node {node} ({report['class_type']}): {error['message']}: {error['details']}"
                      for error in report["errors"]]
        super().__init__("\n".join(lines))


class Picture(NamedTuple):
    """Where a saved or previewed picture is; the arguments of `Client.view`."""
    filename: str
    subfolder: str
    type: str


class Failure(NamedTuple):
    node: str
    node_type: str
    exception: str
    message: str
    traceback: str


class Event(NamedTuple):
    """A websocket message, with time.perf_counter() at its arrival."""
    time: float
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What became of a prompt.  `cached` nodes were reused, `executed` ones ran, in that order."""
    prompt_id: str
    status: str  # success, error or interrupted
    outputs: dict[str, dict[str, Any]]
    cached: list[str]
    executed: list[str]
    seconds: float  # from queueing to the end, as the client saw it
    failure: Failure | None
    view: Callable[[str, str, str], bytes] = field(repr=False)

    @property
    def pictures(self) -> list[Picture]:
        return [Picture(image["filename"], image["subfolder"], image["type"])
                for output in self.outputs.values() for image in output.get("images", [])]

    @cached_property
    def images(self) -> list[bytes]:
        """The pictures' files, as bytes."""
        return [self.view(*picture) for picture in self.pictures]

    def succeeded(self) -> Result:
        """This result, or an error that tells why there is none."""
        if self.failure:
            raise ComfyUIError(f"node {self.failure.node} ({self.failure.node_type}) raised "
                               f"{self.failure.exception}: {self.failure.message}\n{self.failure.traceback}")
        if self.status != "success":
            raise ComfyUIError(f"the prompt ended as {self.status}")
        return self


class Watch:
    """The websocket events since this object was made, and waiting for one to come."""

    def __init__(self, client: Client) -> None:
        self.client, self.start, self.time = client, len(client.events), time.perf_counter()

    @property
    def events(self) -> list[Event]:
        return self.client.events[self.start:]

    def of(self, kind: str, **data: Any) -> list[Event]:
        """The events of one kind whose data has these values."""
        return [e for e in self.events if e.kind == kind and all(e.data.get(k) == v for k, v in data.items())]

    def wait(self, kind: str, timeout: float = 60, **data: Any) -> Event:
        """The first event of a kind, waiting for it; `event.time - watch.time` says how long it took."""
        found: list[Event] = []

        def arrived() -> bool:
            found[:] = self.of(kind, **data)
            return bool(found) or self.client.gone

        with self.client.news:
            self.client.news.wait_for(arrived, timeout)
        if found:
            return found[0]
        if self.client.gone:
            raise ComfyUIError(f"ComfyUI went away while we waited for {kind!r}; its log says why")
        raise TimeoutError(f"no {kind!r} event with {data} within {timeout:g} s; the last events: {self.events[-3:]}")


class Client:
    """ComfyUI's HTTP API, with its websocket read in the background."""

    def __init__(self, url: str) -> None:
        self.url, self.id = url.rstrip("/"), uuid.uuid4().hex
        self.events: list[Event] = []
        self.news = threading.Condition()
        self.gone = False
        watch = self.watch()
        threading.Thread(target=lambda: asyncio.run(self._listen()), daemon=True).start()
        watch.wait("status")

    def watch(self) -> Watch:
        return Watch(self)

    def object_info(self, node: str | None = None) -> dict[str, Any]:
        """All nodes by id, or the description of one."""
        if node is None:
            return self._get_json("/object_info")
        described = self._get_json(f"/object_info/{urllib.parse.quote(node)}")
        if node not in described:
            raise KeyError(f"ComfyUI has no node {node!r}; its log says which packs failed to load")
        return dict(described[node])

    def queue(self, prompt: Prompt, extra_pnginfo: dict[str, Any] | None = None) -> str:
        """Queue a prompt and return its id; PromptRejected where it does not pass validation."""
        body: dict[str, Any] = {"prompt": prompt, "client_id": self.id}
        if extra_pnginfo is not None:
            body["extra_data"] = {"extra_pnginfo": extra_pnginfo}
        try:
            return str(json.loads(self.post("/prompt", body))["prompt_id"])
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            raise PromptRejected(json.load(error)) from None

    def run(self, prompt: Prompt, timeout: float = 300, extra_pnginfo: dict[str, Any] | None = None) -> Result:
        """Queue a prompt and wait for its end; past `timeout` it is interrupted and TimeoutError raised."""
        watch = self.watch()
        prompt_id = self.queue(prompt, extra_pnginfo)
        try:
            watch.wait("executing", timeout, node=None, prompt_id=prompt_id)
        except TimeoutError:
            self.interrupt()
            raise
        return self.result(prompt_id, watch)

    def result(self, prompt_id: str, watch: Watch) -> Result:
        """The result of a finished prompt that was queued after `watch` began."""
        entry = self._get_json(f"/history/{prompt_id}")[prompt_id]
        messages = dict(entry["status"]["messages"])
        error = messages.get("execution_error")
        ends = watch.of("executing", node=None, prompt_id=prompt_id)
        return Result(
            prompt_id=prompt_id,
            status="interrupted" if "execution_interrupted" in messages else entry["status"]["status_str"],
            outputs=entry["outputs"],
            cached=messages.get("execution_cached", {}).get("nodes", []),
            executed=[e.data["node"] for e in watch.of("executing", prompt_id=prompt_id) if e.data["node"]],
            seconds=(ends[0].time if ends else time.perf_counter()) - watch.time,
            failure=error and Failure(error["node_id"], error["node_type"], error["exception_type"],
                                      error["exception_message"].strip(), "".join(error["traceback"])),
            view=self.view)

    def interrupt(self) -> None:
        self.post("/interrupt", {})

    def free(self, unload_models: bool = True, free_memory: bool = True) -> None:
        """Have models unloaded and caches dropped. The server does it when it is idle and does not say when it is
        done, but a prompt queued at once would overtake it: so this waits a moment."""
        self.post("/free", {"unload_models": unload_models, "free_memory": free_memory})
        time.sleep(0.5)

    def upload_image(self, path: Path) -> str:
        """Put a picture into the input folder and return the name LoadImage knows it by."""
        boundary = uuid.uuid4().hex
        head = (f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{path.name}"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n")
        body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        stored = json.loads(self.post("/upload/image", body, f"multipart/form-data; boundary={boundary}"))
        return "/".join(filter(None, (stored["subfolder"], stored["name"])))

    def view(self, filename: str, subfolder: str = "", type: str = "output") -> bytes:
        query = urllib.parse.urlencode({"filename": filename, "subfolder": subfolder, "type": type})
        return self.get(f"/view?{query}")

    def get(self, path: str, timeout: float = 60) -> bytes:
        """The body of any address of the server, such as "/diffusion_soup/..."."""
        return bytes(_local.open(self.url + path, timeout=timeout).read())

    def post(self, path: str, body: Any, content: str = "application/json", timeout: float = 60) -> bytes:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": content})
        return bytes(_local.open(request, timeout=timeout).read())

    def _get_json(self, path: str) -> dict[str, Any]:
        return dict(json.loads(self.get(path)))

    async def _listen(self) -> None:
        import aiohttp

        try:
            async with (aiohttp.ClientSession() as session,
                        session.ws_connect(f"{self.url}/ws?clientId={self.id}", max_msg_size=0) as socket_):
                async for message in socket_:
                    now = time.perf_counter()
                    if message.type == aiohttp.WSMsgType.TEXT:
                        event = json.loads(message.data)
                        self._note(Event(now, event["type"], event["data"]))
                    elif message.type == aiohttp.WSMsgType.BINARY:
                        self._note(Event(now, "preview", {"bytes": message.data}))
        except (aiohttp.ClientError, OSError):
            pass  # a server that goes away ends the events; whoever waits is told below
        finally:
            with self.news:
                self.gone = True
                self.news.notify_all()

    def _note(self, event: Event) -> None:
        with self.news:
            self.events.append(event)
            self.news.notify_all()
