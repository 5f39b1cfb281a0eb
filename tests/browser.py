"""A real browser for tests and for pictures of pages: headless Chromium, spoken to over a pipe (DevTools protocol).

It needs nothing but Chromium. As a command it takes a picture:

    python tests/browser.py data/08_reporting/report.html docs/images/report.png --size 1280x900 --dark
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # root in a container has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
SECONDS = 60.0  # for any one answer


def executable() -> str | None:
    """Find Chromium or Chrome; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One tab. Everything that it says is kept in `events`, as (method, params)."""

    def __init__(self, reader: int, writer: int) -> None:
        self.reader, self.writer, self.buffer, self.number = reader, writer, b"", 0
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + SECONDS
        while True:
            answer = self._receive(end)
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _receive(self, end: float) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.reader], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(self.reader, 1 << 20) if ready else b""
            if not chunk:
                raise TimeoutError("the browser did not answer")
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(line)
        if "method" in message:
            self.events.append((message["method"], message["params"]))
        return message

    def look(self, *, width: int = 1280, height: int = 900, scheme: str = "light", media: str = "") -> None:
        """Set the window's size (CSS pixels), the reader's colours (light, dark) and the medium (screen, print; empty: as it is)."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def open(self, address: str) -> None:
        """Go to an address and wait until it has loaded; earlier events are forgotten."""
        self.events.clear()
        self.call("Page.navigate", url=address)
        end = time.monotonic() + SECONDS
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            self._receive(end)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression evaluates to; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 30.0) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.1)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """PNG of the window, or of the whole page."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])

    def pdf(self) -> bytes:
        """The page as it prints, on A4 with the page's own margins."""
        paper = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True, "preferCSSPageSize": True}
        return base64.b64decode(self.call("Page.printToPDF", **paper)["data"])

    def requests(self) -> list[str]:
        """Addresses that were asked for since `open`, without data inside the page."""
        asked = [params["request"]["url"] for method, params in self.events if method == "Network.requestWillBeSent"]
        return [address for address in asked if not address.startswith(("data:", "blob:"))]

    def complaints(self) -> list[str]:
        """Errors and warnings that the page caused since `open`."""
        kinds = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
        return [json.dumps(params) for method, params in self.events if method in kinds]


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """Start Chromium with a profile folder of its own, and end it."""
    found = executable()
    assert found is not None, "no Chromium on the path"
    down, up = _high_pipe(), _high_pipe()
    # Chromium reads commands from descriptor 3 and answers on 4.
    line = f'exec "$@" 3<&{down[0]} 4>&{up[1]}'
    command = ["bash", "-c", line, "bash", found, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
    browser = subprocess.Popen(
        command,
        pass_fds=(down[0], up[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    os.close(down[0])
    os.close(up[1])
    try:
        yield Page(up[0], down[1])
    finally:
        os.close(down[1])
        os.close(up[0])
        browser.terminate()
        browser.wait(20)


def _high_pipe() -> tuple[int, int]:
    """Open a pipe whose descriptors are out of the way of 3 and 4."""
    low = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in low]
    for end in low:
        os.close(end)
    return high[0], high[1]


def main() -> None:
    import tempfile

    parser = argparse.ArgumentParser(description="take a picture of a page")
    parser.add_argument("page", help="address, or HTML file")
    parser.add_argument("picture", type=Path, help=".png, or .pdf for the page as it prints")
    parser.add_argument("--size", default="1280x900")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--whole", action="store_true")
    asked = parser.parse_args()
    address = asked.page if "://" in asked.page else Path(asked.page).resolve().as_uri()
    width, height = map(int, asked.size.split("x"))
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as page:
        page.look(width=width, height=height, scheme="dark" if asked.dark else "light")
        page.open(address)
        asked.picture.write_bytes(page.pdf() if asked.picture.suffix == ".pdf" else page.screenshot(whole=asked.whole))


if __name__ == "__main__":
    main()
