"""The dashboard as a stranger meets it who means harm, and as the many meet it: what is refused, what is told, what it weighs."""
import asyncio
import gzip
import http.client
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from uuid import uuid4

import pytest
from serving import PATIENCE, Served
from tornado.websocket import websocket_connect

HEAVY = ("numpy", "pandas", "matplotlib", "seaborn", "sklearn", "scipy", "statsmodels", "duckdb", "pyarrow", "voila")


@pytest.fixture(scope="module")
def dashboard(prepared):
    """With few places; the session's own has as many as there are by default."""
    served = Served("--prepared", prepared, "--most-pages", 4, "--log-level", "info")
    yield served
    served.stop()


def run_apart(attack):
    """What a coroutine function returns, run in a thread: Playwright's loop may be running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(attack())).result()


def get(dashboard, path="/"):
    """Status, headers and text of an address."""
    try:
        with urllib.request.urlopen(dashboard.address + path, timeout=PATIENCE) as response:
            return response.status, response.headers, response.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode("utf-8", "replace")


@pytest.fixture
def kernel(dashboard):
    """The kernel of a page that is open; ended afterwards as a closed page does."""
    name = re.search(r'"kernelId": ?"([0-9a-f-]+)"', get(dashboard)[2])[1]
    yield name
    with closing(http.client.HTTPConnection("localhost", dashboard.port, timeout=PATIENCE)) as connection:
        connection.request("DELETE", f"/api/kernels/{name}", headers={"Cookie": "_xsrf=x", "X-XSRFToken": "x"})
        assert connection.getresponse().status == 204


def message(kind, content, channel="shell"):
    return {"header": {"msg_id": uuid4().hex, "msg_type": kind, "username": "", "session": uuid4().hex, "date": "2026-01-01T00:00:00Z", "version": "5.3"},
            "parent_header": {}, "metadata": {}, "content": content, "channel": channel, "buffers": []}


@asynccontextmanager
async def connect(dashboard, kernel):
    socket = await websocket_connect(f"ws://localhost:{dashboard.port}/api/kernels/{kernel}/channels")
    try:
        yield socket
    finally:
        socket.close()
        while await asyncio.wait_for(socket.read_message(), PATIENCE) is not None:
            pass  # until it is closed


async def ask(socket, kind, content):
    """The reply to a message that is allowed; whatever was sent before has been dealt with by then."""
    sent = message(kind, content)
    await socket.write_message(json.dumps(sent))
    while True:
        reply = json.loads(await asyncio.wait_for(socket.read_message(), PATIENCE))
        if reply["parent_header"].get("msg_id") == sent["header"]["msg_id"] and reply["msg_type"] == kind.replace("request", "reply"):
            return reply["content"]


def test_what_a_page_imports_is_light():
    notebook = json.loads((Path(__file__).parents[1] / "nbs" / "dashboard.ipynb").read_text("utf-8"))
    code, = ("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    imports = "\n".join(line for line in code.splitlines() if line.startswith(("from ", "import ")))
    assert "studperf" in imports
    done = subprocess.run([sys.executable, "-c", f"{imports}\nimport sys\nprint(sorted(sys.modules))"], capture_output=True, text=True, check=True)
    assert [name for name in HEAVY if f"'{name}'" in done.stdout] == []


def test_a_page_takes_little_memory(dashboard, kernel):
    megabytes = dashboard.kernel_process(kernel).memory_full_info().uss / 2**20
    assert megabytes < 60


def test_a_kernel_has_no_debugger(dashboard, kernel):
    """It could be told to run code."""
    async def features():
        async with connect(dashboard, kernel) as socket:
            return (await ask(socket, "kernel_info_request", {}))["supported_features"]

    assert "debugger" not in run_apart(features)


@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/voila/static/voila.js", "/no-such-page", "/voila/files/dashboard.ipynb"])
def test_each_answer_has_the_headers(dashboard, path):
    _, headers, text = get(dashboard, path)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in re.search("script-src[^;]*", policy)[0]
    assert not re.search(r"https?:|\*", policy), "no other host"
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "Tornado" not in headers["Server"]
    if "text/html" in headers["Content-Type"]:
        nonce = re.search("'nonce-([^']+)'", policy)[1]
        assert text.count("<script") == text.count(f'<script nonce="{nonce}"')


def test_no_visitor_gets_a_name(dashboard, kernel):
    """Jupyter makes one up and keeps it in a cookie for thirty days."""
    for path in ("/", f"/api/kernels/{kernel}", "/voila/static/voila.js", "/no-such-page"):
        assert "username" not in str(get(dashboard, path)[1].get_all("Set-Cookie"))


def test_what_is_not_served(dashboard):
    for path in ("/voila/files/dashboard.ipynb", "/voila/files/../predictor.py", "/api/contents", "/api/kernels", "/api/sessions", "/api/terminals",
                 "/voila/static/../../app.py", "/voila/templates/studperf/static/../../../../predictor.css", "/voila/tree", "/metrics/../api/contents"):
        status, _, text = get(dashboard, path)
        assert status >= 400, path
        assert "import " not in text and ".sp " not in text


@pytest.mark.parametrize("path", ["/voila/templates/..", "/voila/templates/../..", "/voila/templates/studperf", "/voila/templates/studperf/other/x",
                                  "/voila/templates/%2e%2e/static/x", "/voila/templates/a/static/%00", "/voila/static/%00", "/voila/files/%00",
                                  "/voila/static/%2e%2e/%2e%2e/app.py", "/voila/templates/none/static/x.css", "/voila/labextensions/%2e%2e/x", "//elsewhere.example"])
def test_an_address_that_climbs_is_unknown(dashboard, path):
    with closing(http.client.HTTPConnection("localhost", dashboard.port, timeout=PATIENCE)) as connection:
        connection.request("GET", path)  # as it stands: urllib would tidy it up
        response = connection.getresponse()
        assert (response.status, response.getheader("Location")) == (404, None)
        assert b"Traceback" not in response.read()


def test_scripts_come_packed_and_need_not_be_asked_for_again_at_once(dashboard):
    def ask_for(path, **headers):
        with closing(http.client.HTTPConnection("localhost", dashboard.port, timeout=PATIENCE)) as connection:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    plain, packed = ask_for("/voila/static/voila.js"), ask_for("/voila/static/voila.js", **{"Accept-Encoding": "gzip, deflate, br"})
    assert (plain[0], packed[0]) == (200, 200)
    assert plain[1]["Content-Encoding"] is None and packed[1]["Content-Encoding"] == "gzip" and "Accept-Encoding" in packed[1]["Vary"]
    assert gzip.decompress(packed[2]) == plain[2] and len(packed[2]) < len(plain[2]) / 2
    assert packed[1]["Content-Type"] == plain[1]["Content-Type"] and packed[1]["Cache-Control"] == "public, max-age=600"
    status, _, body = ask_for("/voila/static/voila.js", **{"Accept-Encoding": "gzip", "If-None-Match": packed[1]["Etag"]})
    assert (status, body) == (304, b"")
    status, _, body = ask_for("/voila/static/voila.js", **{"Accept-Encoding": "gzip", "Range": "bytes=0-9"})
    assert (status, gzip.decompress(body)) == (206, plain[2][:10])
    unknown = [ask_for("/voila/static/nothing.js", **headers)[0] for headers in ({"Accept-Encoding": "gzip"}, {})]
    assert unknown[0] == unknown[1] and unknown[0] in (403, 404)


def test_a_websocket_runs_no_code(dashboard, kernel, tmp_path):
    async def attack():
        async with connect(dashboard, kernel) as socket:
            code = f"open({str(tmp_path / 'harm')!r}, 'w').close()"
            for channel in ("shell", "control", "stdin", "iopub", "none"):
                for kind, content in (("execute_request", {"code": code, "silent": False, "allow_stdin": False, "user_expressions": {"a": code}, "store_history": False}),
                                      ("inspect_request", {"code": "os", "cursor_pos": 1, "detail_level": 1}), ("complete_request", {"code": "os.", "cursor_pos": 3}),
                                      ("history_request", {"hist_access_type": "tail", "n": 9, "output": True, "raw": True}), ("is_complete_request", {"code": code}),
                                      ("debug_request", {"type": "request", "command": "evaluate", "arguments": {"expression": code}}),
                                      ("create_subshell_request", {}), ("interrupt_request", {}), ("input_reply", {"value": code}), ("usage_request", {})):
                    await socket.write_message(json.dumps(message(kind, content, channel)))
            replies, sent = [], message("comm_info_request", {})
            await socket.write_message(json.dumps(sent))
            while True:
                reply = json.loads(await asyncio.wait_for(socket.read_message(), PATIENCE))
                replies.append(reply["msg_type"])
                if reply["parent_header"].get("msg_id") == sent["header"]["msg_id"] and reply["msg_type"] == "comm_info_reply":
                    return replies

    replies = run_apart(attack)
    assert not (tmp_path / "harm").exists()
    assert set(replies) <= {"status", "comm_info_reply"}


def test_wrong_messages_change_nothing_and_break_nothing(dashboard, kernel):
    async def attack():
        async with connect(dashboard, kernel) as socket:
            comms = list((await ask(socket, "comm_info_request", {}))["comms"])
            assert len(comms) > 30
            for comm in comms:
                for state in ({"index": 10**9}, {"index": "x"}, {"value": {"a": [1]}}, {"value": "<script>"}, {"value": 10**400}, {"_options_labels": []}, {"layout": "IPY_MODEL_x"}):
                    await socket.write_message(json.dumps(message("comm_msg", {"comm_id": comm, "data": {"method": "update", "state": state, "buffer_paths": []}})))
            for data in ({}, {"method": "custom"}, {"method": 7}, {"method": "update"}, "text", None, [1] * 10_000):
                await socket.write_message(json.dumps(message("comm_msg", {"comm_id": comms[0], "data": data})))
                await socket.write_message(json.dumps(message("comm_open", {"comm_id": uuid4().hex, "target_name": "jupyter.widget", "target_module": "os", "data": data})))
            for junk in ("", "{", "null", "[]", json.dumps({"header": None}), json.dumps(message("comm_msg", "x" * 100_000))):
                await socket.write_message(junk)
            await socket.write_message(b"\xff" * 1000, binary=True)
        async with connect(dashboard, kernel) as again:
            return await ask(again, "comm_info_request", {}), comms

    after, before = run_apart(attack)
    assert set(before) <= set(after["comms"])
    assert get(dashboard, "/health")[0] == 200


def test_another_site_gets_no_websocket(dashboard, kernel):
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "x" * 22 + "==", "Sec-WebSocket-Version": "13"}
    for origin, status in (("https://elsewhere.example", 403), (dashboard.address, 101)):
        with closing(http.client.HTTPConnection("localhost", dashboard.port, timeout=PATIENCE)) as connection:
            connection.request("GET", f"/api/kernels/{kernel}/channels", headers={**headers, "Origin": origin})
            assert connection.getresponse().status == status


def test_health_and_metrics_tell_no_person(dashboard, kernel):
    status, _, text = get(dashboard, "/health")
    assert (status, json.loads(text)["status"]) == (200, "ok")
    assert json.loads(text)["open_pages"] >= 1
    text = get(dashboard, "/metrics")[2]
    assert re.search(r"^studperf_most_pages 4$", text, re.MULTILINE)
    assert set(re.findall(r"^studperf_(\w+) \d+$", text, re.MULTILINE)) == {"open_pages", "waiting_pages", "most_pages", "pages_opened_total", "pages_refused_total", "kernels_ended_total"}


def test_the_log_tells_events_and_no_person(dashboard):
    get(dashboard, "/?gender=female&lunch=free%2Freduced&name=Zoe")
    get(dashboard, "/voila/files/Zoe.csv")
    lines = [json.loads(line) for line in dashboard.log().splitlines() if line.startswith("{")]
    assert lines[0]["event"] == "started"
    sent, = {frozenset(line) for line in lines if line["event"] == "page sent"}
    assert sent == {"time", "level", "event", "seconds", "open_pages", "waiting"}
    of_libraries = [line for line in lines if line["event"] == "reported by a library"]  # such as of what the tests above sent
    assert {line["level"] for line in lines if line not in of_libraries} <= {"info", "warning"}
    assert {name for line in of_libraries for name in line} <= {"time", "level", "event", "place", "error", "raised"}
    assert [word for word in ("female", "reduced", "Zoe", "127.0.0.1") if word in dashboard.log()] == []


def test_when_all_places_are_taken_a_visitor_is_asked_to_wait(dashboard):
    answers = [get(dashboard) for _ in range(6)]
    status, headers, text = answers[-1]
    assert [one[0] for one in answers][0] == 200
    assert (status, headers["Retry-After"]) == (503, "20")
    assert "All places are taken" in text
    assert "kernelId" not in text
