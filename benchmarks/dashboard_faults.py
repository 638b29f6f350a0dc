"""Measure what the dashboard loses, and how long it takes to answer again, when it is flooded and when its processes are killed.

    python benchmarks/dashboard_faults.py                     2,000 open sockets and 100 pages; 50 kills each of page, forker and server
    python benchmarks/dashboard_faults.py --kills 5 --save    fewer, and writes benchmarks/results/dashboard_faults.csv
    python benchmarks/dashboard_faults.py --parts uploads     81 files of 9.5 MB to each upload of a page, 81 class lists, and its memory

The processes that are killed are those of one page, the one that starts pages (the forker), and the server itself. Linux only.
"""
import argparse
import asyncio
import csv
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from socket import create_connection, socket

import psutil
from dashboard import Visitor, quantile
from tornado.websocket import websocket_connect

RESULTS = Path(__file__).resolve().parent / "results" / "dashboard_faults.csv"
COLUMNS = ["part", "measure", "unit", "n", "median", "most", "goal"]
PATIENCE = 120  # seconds


def line(part, measure, unit, values, goal=""):
    return {"part": part, "measure": measure, "unit": unit, "n": len(values), "median": quantile(values, .5), "most": max(values), "goal": goal}


@contextmanager
def served(facts, pages, before=""):
    """`before`: code that the server's process runs first."""
    with socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    code = (f"{before}import studperf; from studperf.dashboard.server.limits import Limits; "
            f"studperf.serve(prepared={str(facts)!r}, port={port}, limits=Limits(pages={pages}, each={pages}, alone=3600))")
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            next(said for said in server.stdout if "Open http" in said)
            yield port, psutil.Process(server.pid)
        finally:
            server.terminate()
            server.stdout.read()


def asked(port, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    finally:
        connection.close()


def page(port):
    """The kernel of a page that is opened."""
    status, text = asked(port)
    found = re.search(r'"kernelId": ?"([0-9a-f-]+)"', text)
    if status != 200 or not found:
        raise RuntimeError(f"no page: status {status}")
    return found[1]


def close(port, kernel):
    asked(port, f"/api/kernels/{kernel}", "DELETE", Cookie="_xsrf=x", **{"X-XSRFToken": "x"})


def seconds_until(true):
    begun = time.monotonic()
    while not true():
        if time.monotonic() - begun > PATIENCE:
            raise RuntimeError("it did not come back")
        time.sleep(.02)
    return time.monotonic() - begun


def healthy(port):
    with suppress(OSError, http.client.HTTPException):
        return asked(port, "/health")[0] == 200
    return False


def ended(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def forker_of(process):
    """The process that starts pages, or None while there is none."""
    with suppress(psutil.Error):
        return next((one for one in process.children() if "fork_on_request" in " ".join(one.cmdline())), None)


def family(process):
    """The process that starts pages, and those of pages by their names."""
    seconds_until(lambda: forker_of(process))
    forker, copies = forker_of(process), {}
    scratch = forker.environ()["IPYTHONDIR"]
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            if re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-.", name := one.name()) and one.status() != psutil.STATUS_ZOMBIE and one.environ()["IPYTHONDIR"] == scratch:
                copies[name] = one
    return forker, copies


def megabytes(process):
    """All processes, proportionally."""
    forker, copies = family(process)
    return sum(one.memory_full_info().pss for one in (process, forker, *copies.values())) / 2**20


def load(facts, sockets, pages):
    """Half of the sockets before the pages, half after them; each page with its websocket."""
    async def connected(port, kernels):
        return [await websocket_connect(f"ws://127.0.0.1:{port}/api/kernels/{kernel}/channels") for kernel in kernels]

    with served(facts, pages) as (port, process), ExitStack() as flood:
        def more(count):
            for _ in range(count):
                flood.enter_context(create_connection(("127.0.0.1", port), timeout=PATIENCE)).sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")

        def answer():
            begun = time.monotonic()
            return 1000 * (time.monotonic() - begun) if asked(port, "/health")[0] == 200 else float("inf")

        more(sockets // 2)
        opened, kernels = [], []
        for _ in range(pages):
            begun = time.monotonic()
            kernels.append(page(port))
            opened.append(time.monotonic() - begun)
        loop = asyncio.new_event_loop()
        channels = loop.run_until_complete(connected(port, kernels))
        more(sockets // 2)
        answers = [answer() for _ in range(50)]
        lost = pages - json.loads(asked(port, "/health")[1])["open_pages"]
        lines = [line("load", f"with {sockets:,} open sockets, of {pages} pages lost", "pages", [lost], "0"), line("load", "until a page is sent", "s", opened),
                 line("load", "until /health answers", "ms", answers), line("load", "the server's descriptors", "", [process.num_fds()]),
                 line("load", "all processes, proportional", "MB", [megabytes(process)], "4096")]
        for channel in channels:
            channel.close()
        loop.close()
    return lines


MEGABYTE = 2**20
UNHURRIED = "import studperf.dashboard.server.limits as limits; limits.MESSAGE_RATE = limits.MESSAGE_BURST = 10**12; "


def table_of_megabytes(size, number):
    """A class list of so many bytes, and another one each time."""
    row = f"female,group C,master's degree,standard,none,{number % 90},70,60\n"
    text = "gender,race/ethnicity,parental level of education,lunch,test preparation course,math score,reading score,writing score\n"
    return (text + row * ((size - len(text)) // len(row))).encode()


async def upload_files(address, process, files):
    """The memory of a page's process, in MB: at first, and after each file. Files too large for a class list, class lists, and own tables."""
    visitor = Visitor(address)
    await visitor.open()
    _, copies = family(process)

    def most():
        return max(one.memory_full_info().uss for one in copies.values() if one.is_running()) / MEGABYTE

    def uploads():
        return [comm for comm, state in visitor.states.items() if state.get("_model_name") == "FileUploadModel"]
    found, (class_list,) = [most()], uploads()
    view, labels = next((comm, state["_options_labels"]) for comm, state in visitor.states.items() if "Class list" in state.get("_options_labels", ()))
    await visitor.send_with_content(view, {"index": len(labels) - 1}, None, None)
    await visitor.ask_states()
    own_table, = set(uploads()) - {class_list}
    for control, size in ((class_list, 9_500_000), (class_list, 600_000), (own_table, 9_500_000)):
        for number in range(files):
            content = table_of_megabytes(size, number)
            given = {"name": f"class {number}.csv", "type": "text/csv", "size": len(content), "last_modified": 0}
            await visitor.send_with_content(control, {"value": [given], "error": ""}, ["value", 0, "content"], content)
            found.append(most())
    visitor.socket.close()
    return found


def upload(facts, files):
    """Files to one page, as fast as it takes them: without the brake on messages, which would make it take half an hour."""
    with served(facts, 5, UNHURRIED) as (port, process):
        found = asyncio.run(upload_files(f"127.0.0.1:{port}", process, files))
        well = healthy(port)
    return [line("uploads", f"{len(found) - 1} files, the page's own memory", "MB", found, "512"), line("uploads", "before the first", "MB", found[:1]),
            line("uploads", "after the last", "MB", found[-1:]), line("uploads", "the server does not answer", "", [int(not well)], "0")]


def kill_pages(port, kills):
    others, again, lost = page(port), [], 0
    for _ in range(kills):
        kernel = page(port)
        forker, copies = family(psutil.Process(SERVER.pid))
        copies[kernel[:15]].kill()
        begun = time.monotonic()
        new = page(port)
        again.append(time.monotonic() - begun)
        close(port, new)
        close(port, kernel)
        lost += others[:15] not in copies
    close(port, others)
    return [line("page killed", "other pages lost", "pages", [lost], "0"), line("page killed", "until a new page is sent", "s", again)]


# A forker that ends soon after it has begun is started later each time, for half a minute at last: with 50 kills that alone would take half an hour.
AT_ONCE = "import studperf.dashboard.server.forking as forking; forking.MOST_PAUSE = forking.FIRST_PAUSE; "


def kill_forkers(port, kills):
    others, again, well, lost = page(port), [], [], 0
    for _ in range(kills):
        forker, _ = family(psutil.Process(SERVER.pid))
        forker.kill()
        begun = time.monotonic()
        seconds_until(lambda forker=forker: ended(forker))
        new = page(port)
        again.append(time.monotonic() - begun)
        seconds_until(lambda: healthy(port))
        well.append(time.monotonic() - begun)
        close(port, new)
        _, copies = family(psutil.Process(SERVER.pid))
        lost += others[:15] not in copies
    close(port, others)
    return [line("forker killed", "open pages lost", "pages", [lost], "0"), line("forker killed", "until a page is sent", "s", again),
            line("forker killed", "until /health is well again", "s", well)]


def kill_servers(facts, kills):
    """Each server is started in the place of the one that was killed before."""
    again, left, folders = [], [], []
    for number in range(kills + 1):
        begun = time.monotonic()
        with served(facts, 5) as (port, process):
            seconds_until(lambda port=port: healthy(port))
            again.append(time.monotonic() - begun)
            if number == kills:
                break
            page(port)
            forker, copies = family(process)
            scratch = Path(forker.environ()["IPYTHONDIR"])
            process.kill()
            left.append(len(psutil.wait_procs([forker, *copies.values()], PATIENCE)[1]))
            seconds_until(lambda scratch=scratch: not scratch.exists())
            folders.append(scratch.exists())
    return [line("server killed", "processes left", "", left, "0"), line("server killed", "temporary folders left", "", [sum(folders)], "0"),
            line("server killed", "until a new one answers", "s", again[1:])]


def show(lines):
    print(f"\n{'':15}{'':58}{'n':>5}{'median':>10}{'most':>10}   goal")
    for one in lines:
        print(f"{one['part']:15}{one['measure'] + (' (' + one['unit'] + ')' if one['unit'] else ''):58}{one['n']:5}{one['median']:10.4g}"
              f"{one['most']:10.4g}   {one['goal']}", flush=True)


def save(lines):
    """Write the lines in the place of those of the same parts."""
    parts = {one["part"] for one in lines}
    lines = [one for one in (csv.DictReader(RESULTS.read_text().splitlines()) if RESULTS.exists() else ()) if one["part"] not in parts] + lines
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{value:.4g}" if isinstance(value, float) else value for name, value in one.items()} for one in lines)
    print(f"wrote {RESULTS.relative_to(RESULTS.parents[2])}", flush=True)


def main():
    global SERVER
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default="load,page,forker,server,uploads", help="one or more")
    parser.add_argument("--sockets", type=int, default=2000)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--kills", type=int, default=50, help="of each kind")
    parser.add_argument("--files", type=int, default=81, help="of each kind, to one page")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/dashboard_faults.csv")
    options = parser.parse_args()
    if os.getloadavg()[0] > os.cpu_count() / 4:
        print(f"This machine is busy (load {os.getloadavg()[0]:.1f}): times are longer than they need be.", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        facts = Path(folder, "facts.json")
        subprocess.run([sys.executable, "-c", "import studperf.cli; studperf.cli.main()", "dashboard", "--prepare", str(facts)], check=True, stdout=subprocess.DEVNULL)
        lines = []
        for part in options.parts.split(","):
            if part == "server":
                found = kill_servers(facts, options.kills)
            elif part == "load":
                found = load(facts, options.sockets, options.pages)
            elif part == "uploads":
                found = upload(facts, options.files)
            else:
                with served(facts, 10, AT_ONCE if part == "forker" else "") as (port, SERVER):
                    found = (kill_pages if part == "page" else kill_forkers)(port, options.kills)
            lines += found
            if options.save:
                save(found)
    show(lines)


if __name__ == "__main__":
    main()
