"""Two private dashboards at a base path behind nginx, as the guide says; and a page that rests."""
import http.client
import json
import re
import subprocess
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from conftest import missing
from playwright.sync_api import expect
from serving import PATIENCE, Served, free_port

GUIDE = Path(__file__).resolve().parents[1] / "nbs" / "guides" / "deploy.ipynb"
PASSWORD = "our school's own"
IDLE = .25  # minutes, of the second process


@pytest.fixture(scope="module")
def processes(prepared, tmp_path_factory):
    """Two dashboards with the same password and folder of sessions; the second has fewer places, by which it is known, and lets pages rest soon."""
    both, sessions = [], tmp_path_factory.mktemp("sessions")
    try:
        for options in ((), ("--idle-minutes", IDLE, "--most-pages", 40)):
            both.append(Served("--prepared", prepared, "--base-url", "/scores", "--sessions", sessions, *options, STUDPERF_PASSWORD=PASSWORD))
        yield both
    finally:
        for served in both:
            served.stop()


@pytest.fixture(scope="module")
def proxy(processes, tmp_path_factory, nginx):
    """The address of nginx, configured as the guide says but for ports."""
    port, folder = free_port(), tmp_path_factory.mktemp("nginx")
    cells = json.loads(GUIDE.read_text("utf-8"))["cells"]
    config, = re.findall("```nginx\n(.*?)```", "\n".join("".join(cell["source"]) for cell in cells), re.DOTALL)
    for old, new in (("listen 80;", f"listen 127.0.0.1:{port};"), *zip(("127.0.0.1:8866", "127.0.0.1:8867"), (f"127.0.0.1:{one.port}" for one in processes), strict=True)):
        assert config.count(old) == 1
        config = config.replace(old, new)
    temporary = "".join(f"{name}_temp_path {folder};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(f"daemon off; pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {temporary} {config} }}")
    with (folder / "log").open("w") as log, subprocess.Popen([nginx, "-c", folder / "nginx.conf", "-p", folder], stderr=log) as server:
        yield f"http://localhost:{port}/scores/"
        server.terminate()
    print((folder / "log").read_text())


@pytest.fixture(scope="session")
def nginx():
    """The program of nginx."""
    for path in ("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/opt/homebrew/bin/nginx"):
        if Path(path).exists():
            return path
    return missing("no nginx (on Debian: nginx-light)")


@contextmanager
def signed_in(browser, address):
    """A visitor's own browser, which has signed in."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    try:
        page.goto(address)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.locator(".sp-score b").wait_for()
        yield page
    finally:
        page.goto("about:blank")
        context.close()


def request(address, method, path, body=None, **headers):
    """Status, headers and body of an answer; redirects are not followed."""
    host = re.fullmatch("http://([^/]+)/.*", address)[1]
    with closing(http.client.HTTPConnection(host, timeout=PATIENCE)) as connection:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode("utf-8", "replace")


def open_pages(served):
    with urllib.request.urlopen(f"{served.address}/scores/health", timeout=PATIENCE) as response:
        return json.load(response)["open_pages"]


def test_nothing_is_shown_to_those_outside(processes):
    address = f"{processes[0].address}/scores/"
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "x" * 22 + "==", "Sec-WebSocket-Version": "13", "Origin": processes[0].address}
    kernel = "00000000-0000-0000-0000-000000000000"
    for path, headers in (("voila/static/voila.js", {}), ("metrics", {}), ("api/kernels", {}), (f"api/kernels/{kernel}/channels", upgrade), (f"voila/query/{kernel}", upgrade)):
        status, _, text = request(address, "GET", f"/scores/{path}", **headers)
        assert (status, text) == (401, "sign in first\n"), path
    status, headers, text = request(address, "GET", "/scores/?gender=female")
    assert status == 401
    assert headers["Cache-Control"] == "no-store"
    assert "kernelId" not in text
    assert request(address, "GET", "/scores/metrics", Authorization=f"Bearer {PASSWORD}")[0] == 200
    assert request(address, "GET", "/scores/health")[0] == 200
    assert request(address, "GET", "//elsewhere.example/")[0] == 404
    assert open_pages(processes[0]) == 0


def test_a_large_request_is_refused(processes):
    with pytest.raises((ConnectionError, AssertionError)):
        assert request(f"{processes[0].address}/", "POST", "/scores/", b"password=" + b"x" * 5_000_000)[0] < 400


def test_signing_in(processes):
    address = f"{processes[0].address}/scores/"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, headers, text = request(address, "POST", "/scores/", "password=wrong+one", **form)
    assert (status, headers["Set-Cookie"]) == (401, None)
    assert "That is not the password." in text
    status, headers, _ = request(address, "POST", "/scores/?gender=female", "password=our+school%27s+own", **{**form, "X-Forwarded-Proto": "https"})
    assert (status, headers["Location"]) == (303, "/scores/?gender=female")
    (cookie, *flags), (_, *known), _ = ([part.strip() for part in one.split(";")] for one in headers.get_all("Set-Cookie"))
    assert set(flags) == {"HttpOnly", "Path=/scores/", "SameSite=Lax", "Secure"} <= set(known)
    for served in processes:  # either believes it
        assert request(f"{served.address}/", "GET", "/scores/metrics", Cookie=cookie)[0] == 200
    assert request(address, "GET", "/scores/metrics", Cookie=cookie[:-2] + "00")[0] == 401
    assert PASSWORD not in processes[0].log()


def test_the_password_in_a_browser(browser, processes, axe):
    page = browser.new_page(color_scheme="dark")
    try:
        page.goto(f"{processes[0].address}/scores/?gender=female")
        expect(page.get_by_label("Password")).to_be_focused()
        page.keyboard.type("no idea")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("That is not the password.")
        page.evaluate(axe)
        assert page.evaluate("axe.run(document).then(found => found.violations.map(one => one.id))") == []
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("radio", name="female")).to_be_checked()
        assert "/scores/?" in page.url and "gender=female" in page.url
        assert "studperf-session" not in page.evaluate("document.cookie")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Password")).to_be_focused()
        assert page.evaluate("document.cookie").find("studperf-signed-in") == -1
        page.reload()
        expect(page.get_by_label("Password")).to_be_focused()
    finally:
        page.goto("about:blank")
        page.close()


def test_visitors_behind_nginx_stay_with_their_process(browser, proxy, processes):
    with signed_in(browser, proxy + "?lunch=free/reduced") as first:
        expect(first.get_by_role("radio", name="free/reduced")).to_be_checked()
        before = first.locator(".sp-range").inner_text()
        first.get_by_label("Parental education").select_option("master's degree")
        expect(first.locator(".sp-range")).not_to_have_text(before)
        first.wait_for_url("**master*")  # it follows when the answer is painted
        for _ in range(3):
            first.reload()
            first.locator(".sp-score b").wait_for()
            expect(first.get_by_label("Parental education")).to_have_value("master's degree")
    def reached(**cookie):
        status, headers, text = request(proxy, "GET", "/scores/metrics", Authorization=f"Bearer {PASSWORD}", **cookie)
        assert status == 200
        return re.search(r"most_pages (\d+)", text)[1], headers

    both = set()
    for _ in range(20):  # a visitor without a cookie goes to one or the other
        process, headers = reached()
        cookie = re.search("studperf=[^;]+", headers["Set-Cookie"])[0]
        assert {reached(Cookie=cookie)[0] for _ in range(4)} == {process}
        both.add(process)
    assert both == {"50", "40"}


def test_a_page_that_nobody_touches_rests_and_goes_on(browser, processes, artefacts):
    with signed_in(browser, f"{processes[1].address}/scores/?gender=female") as page:
        page.get_by_label("Ethnicity").select_option("group E")
        page.wait_for_url("**ethnicity=group%20E**")
        note = page.get_by_role("alert")
        expect(note).to_contain_text("This page was paused")
        page.screenshot(path=artefacts / "dashboard-rested.png")
        assert open_pages(processes[1]) == 0
        note.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(page.get_by_label("Ethnicity")).to_have_value("group E")
        expect(page.get_by_role("radio", name="female")).to_be_checked()


def test_many_guesses(processes):
    """Behind a proxy that is not named, all visitors have one address; the right password then waits for its turn."""
    form, served = {"Content-Type": "application/x-www-form-urlencoded"}, processes[1]
    answers = [request(f"{served.address}/", "POST", "/scores/", f"password=guess{number}", **form)[0] for number in range(20)]
    assert answers == [401] * 20
    assert request(f"{served.address}/", "POST", "/scores/", "password=our+school%27s+own", **form)[0] == 303
