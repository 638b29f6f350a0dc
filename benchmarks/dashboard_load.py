"""Many people on the dashboard at once: each opens a page, listens as a browser does, and changes something every few seconds.

    .venv/bin/python benchmarks/dashboard_load.py                   # 50 people within 10 s, then a minute of changes
    .venv/bin/python benchmarks/dashboard_load.py --people 5 --seconds 10

It starts a server of its own, with real kernels; only the browsers are imitated, since fifty of them would need more of the
machine than the server. It prints how long people wait, how long a change takes, and what memory the processes hold.
"""
import argparse
import asyncio
import json
import random
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import psutil
from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect

PATIENCE = 120  # seconds


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
        kernel = re.search(r'"kernelId": ?"([0-9a-f-]+)"', page.body.decode())[1]
        self.socket = await websocket_connect(f"ws://{self.address}/api/kernels/{kernel}/channels")
        comms = (await self._reply(await self._send("comm_info_request", {})))["comms"]
        for comm in comms:
            await self._send("comm_msg", {"comm_id": comm, "data": {"method": "request_state"}})
        while len(self.states) < len(comms):
            content = await self._update()
            self.states.setdefault(content["comm_id"], content["data"]["state"])
        self.lunch, = (comm for comm, state in self.states.items() if state.get("description") == "Lunch")
        self.view, = (comm for comm, state in self.states.items() if "<svg" in str(state.get("value")))
        return time.perf_counter() - begun

    async def change(self, index):
        """Choose another lunch; returns the seconds until the picture has changed."""
        begun = time.perf_counter()
        await self._send("comm_msg", {"comm_id": self.lunch, "data": {"method": "update", "state": {"index": index}, "buffer_paths": []}})
        while True:
            content = await self._update()
            if content["comm_id"] == self.view and "value" in content["data"]["state"]:
                return time.perf_counter() - begun

    async def _send(self, kind, content):
        header = {"msg_id": uuid4().hex, "msg_type": kind, "username": "", "session": "load", "date": "2026-01-01T00:00:00Z", "version": "5.3"}
        await self.socket.write_message(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}))
        return header["msg_id"]

    async def _read(self):
        text = await asyncio.wait_for(self.socket.read_message(), PATIENCE)
        if text is None:
            raise RuntimeError("the connection was closed")
        return json.loads(text)

    async def _reply(self, asked):
        while True:
            message = await self._read()
            if message["parent_header"].get("msg_id") == asked and message["msg_type"].endswith("_reply"):
                return message["content"]

    async def _update(self):
        while True:
            message = await self._read()
            if message["msg_type"] == "comm_msg" and message["content"]["data"].get("method") == "update":
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


def memory(process):
    """Unshared and proportional megabytes of the server, and of the others in all."""
    parts = [one.memory_full_info() for one in [process, *process.children(recursive=True)]]
    return parts[0].uss / 2**20, sum(part.uss for part in parts[1:]) / 2**20, sum(part.pss for part in parts) / 2**20


async def measure(port, process, people, within, seconds):
    AsyncHTTPClient.configure(None, max_clients=1000)
    chance, begun = random.Random(0), time.monotonic()
    changes = begun + within + 30, begun + within + 30 + seconds
    stays = [asyncio.create_task(visit(f"127.0.0.1:{port}", within * number / people, changes, chance)) for number in range(people)]
    await asyncio.sleep(changes[0] - time.monotonic() + seconds / 2)
    server, others, all_of_them = memory(process)
    done = await asyncio.gather(*stays, return_exceptions=True)
    failed = [one for one in done if isinstance(one, BaseException)]
    if len(failed) == people:
        raise failed[0]
    usable, taken = [one[1] for one in done if one not in failed], [value for one in done if one not in failed for value in one[2]]
    print(f"{people} people within {within} s: {len(failed)} failed {set(map(repr, failed)) or ''}")
    print(f"usable after: median {quantile(usable, .5):.1f} s, slowest {max(usable):.1f} s")
    print(f"a change takes: median {1000 * quantile(taken, .5):.0f} ms, p95 {1000 * quantile(taken, .95):.0f} ms, slowest {1000 * max(taken):.0f} ms ({len(taken)} changes)")
    print(f"memory: server {server:.0f} MB, the rest {others:.0f} MB unshared ({others / people:.0f} MB a page), all {all_of_them:.0f} MB proportional")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--within", type=float, default=10, help="seconds in which they arrive")
    parser.add_argument("--seconds", type=float, default=60, help="how long they change something")
    options = parser.parse_args()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [str(Path(sys.executable).with_name("studperf")), "dashboard", "--port", str(port), "--most-pages", str(options.people + 5)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            next(line for line in server.stdout if "Open http" in line)
            time.sleep(5)  # until kernels are ready
            asyncio.run(measure(port, psutil.Process(server.pid), options.people, options.within, options.seconds))
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
