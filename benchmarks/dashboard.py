"""The dashboard as people meet it: in a real browser, one at a time; then fifty at once.

    make bench                                                this script, too
    .venv/bin/python benchmarks/dashboard.py                  all parts: seven minutes
    .venv/bin/python benchmarks/dashboard.py --save           and keep the figures in benchmarks/results/dashboard.csv
    .venv/bin/python benchmarks/dashboard.py --parts load --people 5 --seconds 10

Part `browser`: Chromium opens the page again and again, each time as somebody who was never there, with a kernel that is kept ready and
without one; then it changes a control and waits until another picture is painted. What goes over the wire is counted by the browser.
Part `plain`: the same browser opens the least page that Voila can serve, at Voila's defaults: seconds depend on the machine, so how far this
page is from that one says more. Part `load`: people arrive within ten seconds, listen as a browser does, and each changes something every five seconds, with real
kernels; all but two of their browsers are imitated, since fifty of them would need more of the machine than the server.
"""
import argparse
import asyncio
import csv
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import psutil
from battery import machine
from playwright.sync_api import sync_playwright
from jupyter_server.services.kernels.connection.base import serialize_binary_message
from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect

PATIENCE = 120  # seconds
RESULTS = Path(__file__).resolve().parent / "results" / "dashboard.csv"
COLUMNS = ("part", "measure", "unit", "n", "median", "p95", "most", "goal")
VISITS, CHANGES = 9, 200
BROWSERS = 2  # true ones among the many
ARGUMENTS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]  # other hosts, which Voila's own page asks, are known to be absent at once
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)  # None: playwright's own


class Visitor:
    """A page that is open."""

    def __init__(self, address):
        self.address, self.states = address, {}

    async def open(self):
        """Open the page; returns the seconds until it is usable."""
        begun = time.perf_counter()
        page = await AsyncHTTPClient().fetch(f"http://{self.address}/", request_timeout=PATIENCE, raise_error=False)
        if page.code != 200:
            raise RuntimeError(f"status {page.code}")
        if b"application/vnd.voila.cell-output+json" not in page.body:  # without it a browser would show nothing
            raise RuntimeError("a page without an output")
        kernel = re.search(r'"kernelId": ?"([0-9a-f-]+)"', page.body.decode())[1]
        self.socket = await websocket_connect(f"ws://{self.address}/api/kernels/{kernel}/channels")
        asked = await self._send("kernel_info_request", {})  # an answer to it says that the kernel listens
        while (await self._read())["parent_header"].get("msg_id") != asked:
            pass
        await self.ask_states()
        self.lunch, = (comm for comm, state in self.states.items() if state.get("description") == "Lunch")
        self.view, = (comm for comm, state in self.states.items() if "<svg" in str(state.get("value")))
        return time.perf_counter() - begun

    async def ask_states(self):
        """Learn what controls the page has."""
        control = uuid4().hex
        await self._send("comm_open", {"comm_id": control, "target_name": "jupyter.widget.control", "data": {}}, version="1.0.0")
        await self._send("comm_msg", {"comm_id": control, "data": {"method": "request_states"}})
        self.states = {comm: model["state"] for comm, model in (await self._data("update_states"))["data"]["states"].items()}

    async def change(self, index):
        """Choose another lunch; returns the seconds until the picture has changed."""
        begun = time.perf_counter()
        await self._send("comm_msg", {"comm_id": self.lunch, "data": {"method": "update", "state": {"index": index}, "buffer_paths": []}})
        while True:
            content = await self._data("update")
            if content["comm_id"] == self.view and "value" in content["data"]["state"]:
                return time.perf_counter() - begun

    async def send_with_content(self, comm, state, path, content):
        """Give a control a state, perhaps with bytes in it, as the browser does, and wait until its page has dealt with it."""
        header = {"msg_id": uuid4().hex, "msg_type": "comm_msg", "username": "", "session": "load", "date": "2026-01-01T00:00:00Z", "version": "5.3"}
        data = {"method": "update", "state": state, "buffer_paths": [path] if path else []}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": {"comm_id": comm, "data": data}, "channel": "shell", "buffers": [content] if path else []}
        await (self.socket.write_message(serialize_binary_message(message), binary=True) if path else self.socket.write_message(json.dumps(message)))
        while not ((said := await self._read())["parent_header"].get("msg_id") == header["msg_id"] and said["content"].get("execution_state") == "idle"):
            pass

    async def _send(self, kind, content, **metadata):
        header = {"msg_id": uuid4().hex, "msg_type": kind, "username": "", "session": "load", "date": "2026-01-01T00:00:00Z", "version": "5.3"}
        await self.socket.write_message(json.dumps({"header": header, "parent_header": {}, "metadata": metadata, "content": content, "channel": "shell", "buffers": []}))
        return header["msg_id"]

    async def _read(self):
        text = await asyncio.wait_for(self.socket.read_message(), PATIENCE)
        if text is None:
            raise RuntimeError("the connection was closed")
        return json.loads(text)

    async def _data(self, method):
        while True:
            message = await self._read()
            if message["msg_type"] == "comm_msg" and message["content"]["data"].get("method") == method:
                return message["content"]


async def visit(address, arrives, changes_until, chance):
    """A visitor's whole stay: seconds until usable, seconds of each change."""
    await asyncio.sleep(arrives)
    visitor = Visitor(address)
    usable, changes, index = await visitor.open(), [], 1
    await asyncio.sleep(max(0, changes_until[0] - time.monotonic()) + chance.uniform(0, 5))
    while time.monotonic() < changes_until[1]:
        index = 1 - index
        changes.append(await visitor.change(index))
        await asyncio.sleep(chance.uniform(4, 6))
    return visitor, usable, changes


def quantile(values, share):
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def line(part, measure, unit, values, goal=""):
    return {"part": part, "measure": measure, "unit": unit, "n": len(values), "median": quantile(values, .5), "p95": quantile(values, .95),
            "most": max(values), "goal": goal}


def memory(process):
    """Unshared megabytes of the server and of the others in all, and proportional ones of all."""
    parts = [one.memory_full_info() for one in [process, *process.children(recursive=True)]]
    return parts[0].uss / 2**20, sum(part.uss for part in parts[1:]) / 2**20, sum(part.pss for part in parts) / 2**20


def look_in(address, after, changes):
    """What true browsers see that come amid the others: seconds until usable, milliseconds of each change."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        pages = [browser.new_page(viewport={"width": 1280, "height": 900}) for _ in range(BROWSERS)]
        time.sleep(after)
        usable, taken = [opened(page, address)[0] for page in pages], []
        time.sleep(max(0, changes[0] - time.monotonic()))
        while time.monotonic() < changes[1]:
            taken += [page.evaluate(CHANGE) for page in pages]
            time.sleep(5)
        browser.close()
    return usable, taken


async def many(port, process, people, within, seconds):
    """The lines of part `load`."""
    AsyncHTTPClient.configure(None, max_clients=1000)
    chance, begun = random.Random(0), time.monotonic()
    changes = begun + within + 30, begun + within + 30 + seconds
    seen = asyncio.create_task(asyncio.to_thread(look_in, f"http://127.0.0.1:{port}/", within / 4, changes))
    stays = [asyncio.create_task(visit(f"127.0.0.1:{port}", within * number / people, changes, chance)) for number in range(people)]
    await asyncio.sleep(changes[0] - time.monotonic() + seconds / 2)
    server, others, all_of_them = memory(process)
    done = await asyncio.gather(*stays, return_exceptions=True)
    opened_after, painted_after = await seen
    failed = [one for one in done if isinstance(one, BaseException)]
    if len(failed) == people:
        raise failed[0]
    went = [one for one in done if one not in failed]
    return [line("load", f"of {people} people within {within:g} s, not served", "people", [len(failed)], "0"),
            line("load", "until the page is usable", "s", [usable for _, usable, _ in went], "most 30"),
            line("load", "from a change to the picture", "ms", [1000 * value for _, _, taken in went for value in taken], "p95 300"),
            line("load", "until the page is usable, in a true browser", "s", opened_after, "most 30"),
            line("load", "from a change to what it paints", "ms", painted_after),
            line("load", "the server, unshared", "MB", [server]), line("load", "a page, unshared", "MB", [others / (people + BROWSERS)], "60"),
            line("load", "all processes, proportional", "MB", [all_of_them], "4096")]


def change_of(view, act):
    """JavaScript: the milliseconds from an act to the frame in which another view is painted."""
    return f"""async () => {{
        const begun = performance.now();
        return await new Promise(resolve => {{
            new MutationObserver((_, observer) => {{ observer.disconnect(); requestAnimationFrame(() => resolve(performance.now() - begun)); }})
                .observe(document.querySelector("{view}"), {{childList: true, subtree: true}});
            {act}
        }});
    }}"""


CHANGE = change_of(".sp-view", """[...document.querySelectorAll(".sp-form .widget-radio input")]
    .filter(one => ["standard", "free/reduced"].includes(one.parentElement.textContent.trim())).find(one => !one.checked).click();""")
PLAIN_CHANGE = change_of(".widget-html-content:has(svg.plain)", """const list = document.querySelector("select");
    list.selectedIndex = 1 - list.selectedIndex;
    list.dispatchEvent(new Event("change", {bubbles: true}));""")


def opened(page, address, answer=".sp-view svg"):
    """Open the page; the seconds until its answer is there, and the bytes that came."""
    session, came = page.context.new_cdp_session(page), []
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: came.append(event["encodedDataLength"]))
    session.on("Network.webSocketFrameReceived", lambda event: came.append(len(event["response"]["payloadData"])))
    begun = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.locator(answer).wait_for(timeout=1000 * PATIENCE)
    seconds = time.perf_counter() - begun
    page.wait_for_timeout(1500)  # what comes later is counted, too
    return seconds, sum(came)


def visits(browser, address, count, **options):
    """Seconds and bytes of first visits, each by somebody new."""
    found = []
    for _ in range(count):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        found.append(opened(page, address, **options))
        page.goto("about:blank")
        context.close()
        time.sleep(6)  # until a kernel is ready again
    return found


def one(port, process, browser):
    """The lines of part `browser` for a server that keeps kernels ready."""
    address = f"http://127.0.0.1:{port}/"
    first = visits(browser, address, VISITS)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    opened(page, address)
    page.goto("about:blank")
    time.sleep(6)
    second = opened(page, address)
    page.wait_for_timeout(4000)  # a visitor looks before changing anything, and by then the kernel is replaced
    page.evaluate(CHANGE)
    changes = []
    for _ in range(CHANGES):
        page.wait_for_timeout(400)  # one by one, so that each has its entry in the page's address
        changes.append(page.evaluate(CHANGE))
    kernel = json.loads(page.locator("#jupyter-config-data").text_content())["kernelId"]
    mine, = (child for child in process.children(recursive=True) if child.name() == kernel[:15] or kernel in " ".join(child.cmdline()))
    lines = [line("browser", "until the page is usable, a kernel kept ready", "s", [seconds for seconds, _ in first], "1.5"),
             line("browser", "until the page is usable, second visit", "s", [second[0]]),
             line("browser", "from a change to the picture", "ms", changes, "p95 50"),
             line("browser", "over the wire, first visit", "MB", [size / 1e6 for _, size in first], "3"),
             line("browser", "over the wire, second visit", "kB", [second[1] / 1e3], "200"),
             line("browser", "a page, unshared", "MB", [mine.memory_full_info().uss / 2**20], "60")]
    context.close()
    return lines


@contextmanager
def served(**limits):
    """A server of its own: port and process."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    code = f"import studperf; from studperf.dashboard.server.limits import Limits; studperf.serve(port={port}, limits=Limits(**{limits}))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        try:
            next(said for said in server.stdout if "Open http" in said)
            time.sleep(5)  # until kernels are ready
            yield port, psutil.Process(server.pid)
        finally:
            server.terminate()
            server.stdout.read()  # what it says at its end


def in_browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        with served() as (port, process):
            lines = one(port, process, browser)
        with served(ahead=0) as (port, _):
            cold = visits(browser, f"http://127.0.0.1:{port}/", VISITS)
        browser.close()
    return [lines[0], line("browser", "until the page is usable, no kernel ready", "s", [seconds for seconds, _ in cold], "2.5"), *lines[1:]]


PLAIN = """from ipywidgets import Dropdown, HTML, VBox
choices, answer = [Dropdown(options=[("no", 0), ("yes", 1)], description=f"choice {i}") for i in range(5)], HTML()
def show(_=None):
    answer.value = f"<svg class='plain' width='300' height='20'><rect width='{50 + 40 * sum(choice.value for choice in choices)}' height='20'/></svg>"
for choice in choices:
    choice.observe(show, "value")
show()
VBox([*choices, answer])"""


@contextmanager
def served_plain(folder, *options):
    """The least page, by Voila as it is; its address."""
    notebook = folder / "plain.ipynb"
    notebook.write_text(json.dumps({"cells": [{"cell_type": "code", "id": "a", "metadata": {}, "execution_count": None, "outputs": [], "source": PLAIN}], "nbformat": 4,
                                    "nbformat_minor": 5, "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}}))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with subprocess.Popen([sys.executable, "-m", "voila", str(notebook), f"--port={port}", "--no-browser", *options], stderr=subprocess.DEVNULL) as server:
        try:
            time.sleep(10)  # until it listens, and kernels are ready
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()


def plain():
    """The lines of part `plain`."""
    lines = []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for kernel, options in {"a kernel kept ready": ["--preheat_kernel=True", "--pool_size=2"], "no kernel ready": []}.items():
            with served_plain(Path(folder), *options) as address:
                found = visits(browser, address, VISITS, answer="svg.plain")
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                opened(page, address, answer="svg.plain")
                changes = [page.evaluate(PLAIN_CHANGE) for _ in range(CHANGES + 1)][1:]
                page.close()
            lines.append(line("plain", f"until the page is usable, {kernel}", "s", [seconds for seconds, _ in found]))
        browser.close()
    return [*lines, line("plain", "from a change to the picture", "ms", changes), line("plain", "over the wire, first visit", "MB", [size / 1e6 for _, size in found])]


def show(lines):
    print(f"\n{'':9}{'':46}{'n':>5}{'median':>10}{'p95':>10}{'most':>10}   goal")
    for one_line in lines:
        print(f"{one_line['part']:9}{one_line['measure'] + ' (' + one_line['unit'] + ')':46}{one_line['n']:5}"
              + "".join(f"{one_line[name]:10.4g}" for name in ("median", "p95", "most")) + f"   {one_line['goal']}", flush=True)


def save(lines):
    """Write the lines in the place of those of the same parts, and what they were measured on."""
    parts = {one_line["part"] for one_line in lines}
    kept = [one_line for one_line in csv.DictReader(RESULTS.read_text().splitlines()) if one_line["part"] not in parts] if RESULTS.exists() else []
    lines = [{name: f"{value:.4g}" if isinstance(value, float) else value for name, value in one_line.items()} for one_line in lines]
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(kept + lines, key=lambda one_line: one_line["part"]))
    versions = {name: version(name) for name in ("studperf", "voila", "ipywidgets", "ipykernel", "playwright")}
    RESULTS.with_suffix(".json").write_text(json.dumps({"machine": machine(), "versions": {"studperf": versions}}, indent=1) + "\n")
    print(f"wrote {RESULTS.relative_to(RESULTS.parents[2])}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default="browser,plain,load", help="one or more")
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--within", type=float, default=10, help="seconds in which they arrive")
    parser.add_argument("--seconds", type=float, default=60, help="how long they change something")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/dashboard.csv")
    options, lines = parser.parse_args(), []
    if os.getloadavg()[0] > os.cpu_count() / 4:
        print(f"This machine is busy (load {os.getloadavg()[0]:.1f}): times are longer than they need be.", flush=True)
    if "browser" in options.parts.split(","):
        lines += in_browser()
    if "plain" in options.parts.split(","):
        lines += plain()
    if "load" in options.parts.split(","):
        with served(pages=options.people + 5, each=options.people + 5) as (port, process):
            lines += asyncio.run(many(port, process, options.people, options.within, options.seconds))
    show(lines)
    if options.save:
        save(lines)


if __name__ == "__main__":
    main()
