"""The dashboard under attack: floods of connections, killed processes, guesses, stolen cookies and names that are not its own."""
import asyncio
import http.client
import json
import re
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from serving import PATIENCE, Served
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux: addresses such as 127.0.0.2, and copied processes")
PASSWORD = "our school's own"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "x" * 22 + "==", "Sec-WebSocket-Version": "13"}


@contextmanager
def running(*options, **others):
    served = Served(*options, **others)
    try:
        yield served
    finally:
        served.stop()


@pytest.fixture(scope="module")
def dashboard(prepared):
    """With the descriptors of an ordinary system, five places, and every setting of who may come."""
    with running("--prepared", prepared, "--most-pages", 5, "--log-level", "info", "--allowed-hosts", "school.example", "--trusted-proxies", "127.0.0.3",
                 "--frame-ancestors", "https://portal.example", "--security-contact", "it@school.example", descriptors=1024) as served:
        yield served


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    return tmp_path_factory.mktemp("sessions")


@pytest.fixture(scope="module")
def private(prepared, sessions):
    with running("--prepared", prepared, "--sessions", sessions, descriptors=1024, STUDPERF_PASSWORD=PASSWORD) as served:
        yield served


@pytest.fixture(scope="module", autouse=True)
def unfinished(dashboard):
    """Connections that stop in the midst of a request, from the beginning of these tests on."""
    begun = {"nothing": b"", "headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n", "body": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
             "after an answer": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"}
    with ExitStack() as all_of_them:
        sockets = {}
        for name, sent in begun.items():
            sockets[name] = all_of_them.enter_context(socket.create_connection(("127.0.0.1", dashboard.port), timeout=PATIENCE, source_address=("127.0.0.9", 0)))
            sockets[name].sendall(sent)
        yield sockets


def ask(served, method="GET", path="/", body=None, address="127.0.0.1", **headers):
    """Status, headers and text of an answer to somebody at an address."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE, source_address=(address, 0))) as connection:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode("utf-8", "replace")


def kernel_of(text):
    return re.search(r'"kernelId": ?"([0-9a-f-]+)"', text)[1]


def close_page(served, kernel):
    assert ask(served, "DELETE", f"/api/kernels/{kernel}", Cookie="_xsrf=x", X_XSRFToken="x")[0] == 204


def until(true):
    """Wait until a function returns what is true, and return that."""
    end = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(.05)
    return found


def forker_of(served):
    process, = (one for one in psutil.Process(served.process.pid).children() if "fork_on_request" in " ".join(one.cmdline()))
    return process


def ended(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def copies_of(served):
    """The processes of pages, those kept ready among them."""
    scratch = forker_of(served).environ()["IPYTHONDIR"]
    return [one for one in psutil.process_iter() if _is_of(one, scratch)]


def _is_of(process, scratch):
    try:
        named = re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-.", process.name())
        return named is not None and not ended(process) and process.environ().get("IPYTHONDIR") == scratch
    except psutil.Error:
        return False


async def end(channel):
    """Close a websocket, and wait until it is."""
    protocol = channel.protocol
    channel.close()
    while protocol and not protocol.stream.closed():
        await asyncio.sleep(.01)


async def answers(served, kernel, **headers):
    """Whether a kernel answers by websocket."""
    channel = await websocket_connect(HTTPRequest(f"ws://127.0.0.1:{served.port}/api/kernels/{kernel}/channels", headers=headers))
    sent = {"header": {"msg_id": uuid4().hex, "msg_type": "kernel_info_request", "username": "", "session": uuid4().hex, "date": "2026-01-01T00:00:00Z", "version": "5.3"},
            "parent_header": {}, "metadata": {}, "content": {}, "channel": "shell", "buffers": []}
    await channel.write_message(json.dumps(sent))
    while (text := await asyncio.wait_for(channel.read_message(), PATIENCE)) is not None:
        if json.loads(text)["msg_type"] == "kernel_info_reply":
            await end(channel)
            return True
    await end(channel)
    return False


def run_apart(made):
    """What a coroutine returns, run in a thread: Playwright's loop may be running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, made).result()


@pytest.mark.parametrize("name", ["dashboard", "private"])
def test_a_flood_of_unfinished_requests_changes_nothing(request, name):
    served = request.getfixturevalue(name)
    before, process = len(served.log()), psutil.Process(served.process.pid)
    with ExitStack() as flood:
        for number in range(1500):
            flood.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE)).sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            if number % 300 == 299:
                assert [ask(served, path="/health", address=address)[0] for address in ("127.0.0.1", "127.0.0.2")] == [200, 200]
        assert process.num_fds() < 900
        if name == "dashboard":
            status, _, text = ask(served)
            assert status == 200
            assert run_apart(answers(served, kernel_of(text)))
            close_page(served, kernel_of(text))
    assert ask(served, path="/health")[0] == 200
    assert len(served.log()) - before < 20_000


def test_headers_without_end_are_refused(dashboard):
    with closing(socket.create_connection(("127.0.0.1", dashboard.port), timeout=PATIENCE)) as connection:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 500_000)
            assert not connection.recv(100).startswith(b"HTTP/1.1 200")
        except ConnectionError:
            pass


def test_lines_that_are_alike_are_counted(prepared):
    """Each of these is no JSON."""
    async def junk(served, kernel):
        channel = await websocket_connect(f"ws://127.0.0.1:{served.port}/api/kernels/{kernel}/channels")
        for _ in range(40):
            await channel.write_message("{")
        await end(channel)
        assert await answers(served, kernel)

    with running("--prepared", prepared, "--most-pages", 3) as served:
        run_apart(junk(served, kernel_of(ask(served)[2])))
    lines = [json.loads(line) for line in served.log().splitlines() if line.startswith("{")]
    alike = [line for line in lines if line.get("error") == "JSONDecodeError"]
    assert len(alike) == 11
    assert sum(line.get("same", 1) for line in alike) == 40


def test_when_the_process_that_starts_pages_is_killed_another_takes_its_place(dashboard):
    kernel = kernel_of(ask(dashboard)[2])
    forker = forker_of(dashboard)
    forker.kill()
    until(lambda: ended(forker))
    status, _, text = ask(dashboard, path="/health")
    assert (status, json.loads(text)["status"]) == (503, "unavailable")
    assert "starting" in json.loads(text)["reason"]
    for _ in range(3):  # of which the third finds no kernel ready, and waits
        status, _, text = ask(dashboard)
        assert status == 200
        assert run_apart(answers(dashboard, kernel_of(text)))
        close_page(dashboard, kernel_of(text))
    assert ask(dashboard, path="/health")[0] == 200
    assert run_apart(answers(dashboard, kernel)), "the page that was open before has lost nothing"
    close_page(dashboard, kernel)


def test_a_kernel_that_was_killed_is_given_to_nobody(dashboard):
    ready = until(lambda: len(found := copies_of(dashboard)) >= 2 and found)
    for process in ready:
        process.kill()
    for process in ready:
        until(lambda process=process: ended(process))
    status, _, text = ask(dashboard)
    assert status == 200
    assert run_apart(answers(dashboard, kernel_of(text)))
    close_page(dashboard, kernel_of(text))


def test_nothing_is_left_of_a_server_that_was_killed(prepared):
    served = Served("--prepared", prepared)
    try:
        assert ask(served)[0] == 200
        family = [forker_of(served), *copies_of(served)]
        scratch = Path(family[0].environ()["IPYTHONDIR"])
        assert scratch.is_dir() and len(family) > 1
        served.process.kill()
        assert psutil.wait_procs(family, PATIENCE)[1] == []
        until(lambda: not scratch.exists())
    finally:
        served.stop()


def test_the_server_answers_to_its_own_names_alone(dashboard):
    kernel = "00000000-0000-0000-0000-000000000000"
    for host in ("rebound.example", f"rebound.example:{dashboard.port}", "localhost.rebound.example", "10.1.2.3"):
        for path, headers in (("/", {}), (f"/api/kernels/{kernel}/channels", {**UPGRADE, "Origin": f"http://{host}"}), ("/metrics", {}), ("/voila/static/voila.js", {})):
            status, _, text = ask(dashboard, path=path, Host=host, **headers)
            assert (status, "--allowed-hosts" in text) == (421, True)
    for host in ("localhost", f"127.0.0.1:{dashboard.port}", "[::1]:80", "school.example", "School.Example:443"):
        assert ask(dashboard, path="/metrics", Host=host)[0] == 200
    assert json.loads(ask(dashboard, path="/health", Host="10.1.2.3")[2])["open_pages"] == 0


def test_head_opens_no_page(dashboard):
    for path in ("/", "/health", "/metrics", "/.well-known/security.txt", "/voila/static/voila.js"):
        status, headers, text = ask(dashboard, "HEAD", path)
        assert (status, text) == (200, ""), path
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert json.loads(ask(dashboard, path="/health")[2])["open_pages"] == 0


def test_a_site_that_is_named_may_show_the_page(dashboard, private):
    headers = ask(dashboard, path="/metrics")[1]
    assert headers["Content-Security-Policy"].endswith("frame-ancestors 'self' https://portal.example")
    assert headers["X-Frame-Options"] is None
    headers = ask(private, path="/health")[1]
    assert headers["Content-Security-Policy"].endswith("frame-ancestors 'self'")
    assert headers["X-Frame-Options"] == "SAMEORIGIN"


def test_security_txt(dashboard, private):
    for served, contact in ((dashboard, "mailto:it@school.example"), (private, "https://")):
        status, headers, text = ask(served, path="/.well-known/security.txt")
        assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
        lines = dict(line.split(": ", 1) for line in text.splitlines())
        assert lines["Contact"].startswith(contact)
        assert time.strftime("%Y-%m-%d") < lines["Expires"] < f"{int(time.strftime('%Y')) + 1}{time.strftime('-%m-%d')}"


def test_one_address_leaves_places_for_others(dashboard):
    """Five places, of which one address may have four; a proxy says for whom it asks, and nobody else can."""
    open_pages = []
    for address, forwarded, expected in (*[("127.0.0.1", "", 200)] * 4, ("127.0.0.1", "", 503), ("127.0.0.1", "192.0.2.1", 503), ("127.0.0.3", "192.0.2.1, 127.0.0.1", 503),
                                         ("127.0.0.3", "127.0.0.1, 192.0.2.1", 200), ("127.0.0.2", "", 503)):
        status, _, text = ask(dashboard, address=address, X_Forwarded_For=forwarded)
        assert status == expected
        if status == 200:
            open_pages.append(kernel_of(text))
        elif address != "127.0.0.2":
            assert "Your network has as many pages" in text
    assert "All places are taken" in text
    for kernel in open_pages:
        close_page(dashboard, kernel)


def test_who_guesses_is_slow_and_nobody_is_locked_out(private):
    def guess(password, **others):
        return ask(private, "POST", body=f"password={password}", **FORM, **others)

    assert {guess(f"guess{number}")[0] for number in range(20)} == {401}
    right = "our+school%27s+own"
    status, headers, _ = guess(right, address="127.0.0.2")
    assert status == 303, "somebody else"
    known = re.search("studperf-known=[^;]+", " ".join(headers.get_all("Set-Cookie")))[0]
    assert guess(right, Cookie=known)[0] == 303, "a browser that has signed in before, at the same address"
    assert guess(right)[0] == 303, "the same address, when its turn has come"


def test_a_stolen_cookie_is_worth_nothing_after_signing_out(private):
    status, headers, _ = ask(private, "POST", body="password=our+school%27s+own", address="127.0.0.4", **FORM)
    assert status == 303
    cookie = re.search("studperf-session=[^;]+", " ".join(headers.get_all("Set-Cookie")))[0]
    kernel = kernel_of(ask(private, Cookie=cookie)[2])

    async def sign_out():
        stolen = await websocket_connect(HTTPRequest(f"ws://127.0.0.1:{private.port}/api/kernels/{kernel}/channels", headers={"Cookie": cookie}))
        assert (await asyncio.to_thread(ask, private, "POST", "/sign-out", Cookie=cookie, Origin="https://elsewhere.example"))[0] == 403
        status, *_ = await asyncio.to_thread(ask, private, "POST", "/sign-out", Cookie=cookie, Origin=f"http://127.0.0.1:{private.port}")
        while await asyncio.wait_for(stolen.read_message(), PATIENCE) is not None:
            pass  # until it is closed
        await end(stolen)
        return status

    assert run_apart(sign_out()) == 303
    for path in ("/", "/metrics", f"/api/kernels/{kernel}/channels"):
        assert ask(private, path=path, Cookie=cookie)[0] == 401


def test_sessions_are_shared_by_a_folder(private, prepared, sessions):
    with running("--prepared", prepared, "--sessions", sessions, STUDPERF_PASSWORD=PASSWORD) as other:
        cookies = []
        for _ in range(2):
            headers = ask(private, "POST", body="password=our+school%27s+own", address="127.0.0.5", **FORM)[1]
            cookies.append(re.search("studperf-session=[^;]+", " ".join(headers.get_all("Set-Cookie")))[0])
        assert [ask(served, path="/metrics", Cookie=cookies[0])[0] for served in (private, other)] == [200, 200]
        assert ask(other, "POST", "/sign-out", Cookie=cookies[0])[0] == 303
        assert [ask(served, path="/metrics", Cookie=cookie)[0] for served in (private, other) for cookie in cookies] == [401, 200] * 2


def test_what_is_not_finished_is_closed(unfinished):
    """The last of these tests, since each may take half a minute."""
    for name, connection in unfinished.items():
        said = b""
        try:
            while more := connection.recv(1000):
                said += more
        except ConnectionError:
            pass
        assert said.startswith(b"HTTP/1.1 200") is (name == "after an answer"), name
