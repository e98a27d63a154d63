"""Debian's Chromium without a window, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import websocket

PATIENCE = 60
"""Seconds that anything on a page may take: test machines are busy."""


class Page:
    """One tab."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket = websocket.create_connection(address, PATIENCE, suppress_origin=True)
        self._numbers = count(1)
        self.complaints: list[str] = []
        """Uncaught exceptions and console errors, as far as answers were read."""
        self.choosers: list[dict[str, Any]] = []
        """Dialogues of file fields that were opened, where `intercept_choosers` was called."""
        for domain in ("Page", "Runtime", "DOM", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One DevTools command and its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, (method, message)
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        if message.get("method") == "Page.fileChooserOpened":
            self.choosers.append(parameters)
        entry = parameters.get("entry", {})
        if message.get("method") == "Log.entryAdded" and entry["level"] == "error":
            self.complaints.append(f"{entry['text']} {entry.get('url', '')}")

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, script: str, seconds: float = PATIENCE) -> Any:
        """The value of an expression as soon as it is a true one."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            text = self.evaluate("document.body?.innerText")  # a page has no body at first
            assert time.monotonic() < deadline, f"never true: {script}\n{text}\n{self.complaints}"
            time.sleep(0.1)
        return value

    def frame(self) -> Page:
        """The sandboxed frame in this tab, which Chromium keeps in a process of its own."""
        tools, _, own = self._address.replace("ws://", "http://").partition("/devtools/page/")
        deadline = time.monotonic() + PATIENCE
        while True:
            with urllib.request.urlopen(f"{tools}/json/list", timeout=PATIENCE) as response:
                for target in json.load(response):
                    if target["type"] == "iframe" and target.get("parentId") == own:
                        return Page(target["webSocketDebuggerUrl"])
            assert time.monotonic() < deadline, "no frame"
            time.sleep(0.1)

    def text(self, selector: str) -> str:
        """What an element shows."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def set_files(self, selector: str, *paths: Path) -> None:
        """Choose files, or a folder, as in the dialogue of a file field."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path) for path in paths], nodeId=node)

    def intercept_choosers(self) -> None:
        """From now on a file field's dialogue is noted, not shown: there is no window."""
        self.call("Page.setInterceptFileChooserDialog", enabled=True)

    def choose(self, *paths: Path) -> None:
        """Choose files in the dialogue that was opened last."""
        node = self.choosers.pop()["backendNodeId"]
        files = [str(path) for path in paths]
        self.call("DOM.setFileInputFiles", files=files, backendNodeId=node)

    def drop_files(self, selector: str, *paths: Path) -> None:
        """Drag files or folders from the desktop onto an element."""
        box = self.evaluate(
            f"(r => [r.x + r.width / 2, r.y + r.height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=box[0], y=box[1], data=data)

    def press(self, key: str, code: int, **more: Any) -> None:
        """One key, down and up."""
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more
            )

    def tab_to(self, selector: str) -> None:
        """Press the tab key until an element has the focus, and see that it shows it."""
        script = f"document.activeElement.matches({json.dumps(selector)})"
        for _ in range(80):
            self.press("Tab", 9)
            if self.evaluate(script):
                ring = "[document.activeElement, document.activeElement.parentElement].some("
                ring += "e => getComputedStyle(e).outlineStyle !== 'none')"
                assert self.evaluate(ring), f"{selector}: does not show that it has the focus"
                return
        raise AssertionError(f"{selector}: not reached by the tab key")

    def slide(self, selector: str, share: float) -> None:
        """Move a slider to a share of its way."""
        self.evaluate(
            f"(slider => {{ slider.value = {share} * slider.max; "
            "slider.dispatchEvent(new Event('input')); })"
            f"(document.querySelector({json.dumps(selector)}))"
        )

    def resize(self, width: int, height: int) -> None:
        """Size of the window, in pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def screenshot(self, path: Path) -> Path:
        """A PNG of what the window shows."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))
        return path


@pytest.fixture(scope="session")
def browser(
    install: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a running Chromium's DevTools."""
    if shutil.which("chromium") is None:
        install("chromium")
    home = tmp_path_factory.mktemp("chromium")
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu"]
    command += ["--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run"]
    command += [f"--user-data-dir={home}", "--remote-debugging-port=0", "about:blank"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env=os.environ | {"HOME": str(home)},
            start_new_session=True,
        )
    try:
        found, deadline = home / "DevToolsActivePort", time.monotonic() + PATIENCE
        while not (found.exists() and found.read_text().strip()):
            assert process.poll() is None, (home / "log").read_text()
            assert time.monotonic() < deadline, (home / "log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{found.read_text().split()[0]}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def open_page(browser: str) -> Callable[[str], Page]:
    """``open_page(url)``: a new tab that has loaded it."""

    def open_one(url: str) -> Page:
        request = urllib.request.Request(f"{browser}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            page = Page(json.load(response)["webSocketDebuggerUrl"])
        page.resize(1000, 900)
        page.call("Page.navigate", url=url)
        page.wait_for(f"location.href.startsWith({json.dumps(url.partition('#')[0])})")
        page.wait_for("document.readyState === 'complete'")
        return page

    return open_one
