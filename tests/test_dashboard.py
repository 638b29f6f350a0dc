"""The dashboard as a person meets it: started by its command, seen and used in a browser, stopped by Ctrl-C."""
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import jinja2
import psutil
import pytest
from playwright.sync_api import expect
from voila.paths import collect_template_paths

from studperf.predictor import Predictor, dashboard_environment

REPO = Path(__file__).resolve().parents[1]
COMMAND = [str(Path(sys.executable).with_name("studperf")), "dashboard", "--port"]
PATIENCE = 120  # seconds that a slow machine may take for anything
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
START = {"gender": "male", "ethnicity": "group C", "parental_education": "some college", "lunch": "standard", "test_prep": "none"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Served:
    """The dashboard as a process of its own, on a port that nobody uses, and what it prints."""

    def __init__(self):
        self.address, self.lines, self.ready = f"http://localhost:{(port := free_port())}", [], threading.Event()
        self.process = subprocess.Popen([*COMMAND, str(port)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        self.ready.wait(PATIENCE)
        if self.address not in self.log():
            self.stop()
            pytest.fail(f"the dashboard did not start; it said:\n{self.log()}", pytrace=False)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if self.address in line:
                self.ready.set()
        self.ready.set()  # it ended

    def log(self):
        return "".join(self.lines)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.reader.join()
            self.process.stdout.close()


@pytest.fixture(scope="module")
def dashboard():
    served = Served()
    yield served
    served.stop()


@pytest.fixture(scope="module")
def predictor():
    return Predictor()


@pytest.fixture
def opened(browser, dashboard):
    """`with opened(size) as page`: the dashboard, ready; afterwards nothing may have gone wrong in the browser."""

    @contextmanager
    def open_page(size):
        page, wrong, hosts = browser.new_page(viewport=size), [], set()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))  # None for data in the page itself
        page.on("websocket", lambda websocket: hosts.add(urlsplit(websocket.url).hostname))
        try:
            page.goto(dashboard.address, wait_until="commit")
            page.locator(".sp-score b").wait_for()
            yield page
            assert hosts <= {"localhost", None}
            assert "localhost" in hosts
            assert wrong == []
        finally:
            page.goto("about:blank")  # so that the page gives its kernel back
            page.close()
            print(f"the dashboard said:\n{dashboard.log()}")

    expect.set_options(timeout=PATIENCE * 1000)
    return open_page


def assert_shown(page, answer):
    """The page says what `Predictor.predict` gave."""
    share = {.8: "Eight in ten", .9: "Nine in ten", .95: "Nineteen in twenty"}[answer.level]
    expect(page.locator(".sp-what")).to_have_text(f"Expected {answer.target} score")
    expect(page.locator(".sp-range")).to_have_text(f"{share} fictional students like this score between {answer.low:.0f} and {answer.high:.0f}.")
    expect(page.locator(".sp-score b")).to_have_text(f"{answer.prediction:.0f}")
    expect(page.locator(".sp-notes")).to_contain_text(f"About {answer.percentile:.0f} in 100 fictional students score lower than {answer.prediction:.0f}.")
    described = f"The expected score is {answer.prediction:.0f}, with a range from {answer.low:.0f} to {answer.high:.0f}."
    expect(page.get_by_role("img")).to_have_attribute("aria-label", re.compile(re.escape(described) + "$"))


def test_each_control_changes_the_answer(opened, predictor):
    with opened(WIDE) as page:
        factors, others, target, level = dict(START), {}, "math", .9
        seen = []

        def check():
            answer = predictor.predict(target, factors, others, level=level)
            assert_shown(page, answer)
            shown = (target, f"{answer.prediction:.0f}", f"{answer.low:.0f}", f"{answer.high:.0f}")
            assert shown not in seen, "this change must be one that shows"
            seen.append(shown)

        check()
        page.get_by_role("radiogroup", name="Lunch").get_by_role("radio", name="free/reduced").check()
        factors["lunch"] = "free/reduced"
        check()
        page.get_by_label("Parental education").select_option("master's degree")
        factors["parental_education"] = "master's degree"
        check()
        page.get_by_role("checkbox", name="Reading is known").check()
        others["reading"] = predictor.rows["reading"].median()
        check()
        page.get_by_role("spinbutton", name="Reading").fill("41")
        others["reading"] = 41
        check()
        page.get_by_role("checkbox", name="Writing is known").check()
        page.get_by_role("spinbutton", name="Writing").fill("55")
        others["writing"] = 55
        check()
        page.get_by_role("radiogroup", name="How sure the range should be").get_by_role("radio", name="80%").check()
        level = .8
        check()
        page.get_by_role("radiogroup", name="Score to predict").get_by_role("radio", name="Writing").check()
        target, others = "writing", {"reading": 41}
        expect(page.get_by_role("checkbox", name="Writing is known")).to_be_hidden()
        expect(page.get_by_role("checkbox", name="Math is known")).to_be_visible()
        check()
        page.get_by_role("checkbox", name="Reading is known").uncheck()
        expect(page.get_by_role("spinbutton", name="Reading")).to_be_disabled()
        others = {}
        check()


def test_keyboard_alone_will_do(opened, predictor):
    with opened(WIDE) as page:
        page.get_by_role("radiogroup", name="Gender").get_by_role("radio", name="male", exact=True).focus()
        page.keyboard.press("ArrowLeft")
        expect(page.get_by_role("radio", name="female")).to_be_checked()
        assert_shown(page, predictor.predict("math", START | {"gender": "female"}))
        page.keyboard.press("Tab")  # a group is one stop
        expect(page.get_by_label("Ethnicity")).to_be_focused()
        page.keyboard.type("group E")
        assert_shown(page, predictor.predict("math", START | {"gender": "female", "ethnicity": "group E"}))


def test_a_screen_reader_is_told(opened):
    with opened(WIDE) as page:
        status = page.get_by_role("status")
        expect(status).to_have_attribute("aria-live", "polite")
        expect(status).to_contain_text("Expected math score")
        controls = page.locator(".sp :is(select, input)")
        unnamed = [control for control in controls.all() if not control.evaluate(
            "control => control.labels.length && control.labels[0].textContent.trim() || control.getAttribute('aria-label')")]
        assert controls.count() >= 18
        assert unnamed == []


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=lambda size: str(size["width"]))
def test_it_fits(opened, artefacts, size):
    with opened(size) as page:
        page.screenshot(path=artefacts / f"dashboard-{size['width']}x{size['height']}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
        outside = page.locator(".sp *:visible").evaluate_all(
            "(parts, width) => parts.filter(part => part.getBoundingClientRect().right > width).map(part => part.outerHTML.slice(0, 200))", size["width"])
        assert outside == []
        form, answer = (page.locator(part).bounding_box() for part in (".sp-columns > .sp-card", ".sp-picture"))
        beside = answer["x"] >= form["x"] + form["width"]
        assert beside == (size is WIDE)


def test_a_closed_page_frees_its_kernel(opened, dashboard):
    with opened(WIDE) as page:
        kernel = json.loads(page.locator("#jupyter-config-data").text_content())["kernelId"]
        process, = (child for child in psutil.Process(dashboard.process.pid).children() if kernel in " ".join(child.cmdline()))
        page.goto("about:blank")
        assert psutil.wait_procs([process], PATIENCE)[0] == [process]


def test_an_error_page_asks_no_other_host(monkeypatch, tmp_path):
    monkeypatch.setenv("JUPYTER_PATH", dashboard_environment(str(tmp_path))["JUPYTER_PATH"])
    loader = jinja2.FileSystemLoader(collect_template_paths(["voila", "nbconvert"], "studperf", prune=True))
    text = jinja2.Environment(loader=loader).get_template("error.html").render(status_code=500, base_url="/")
    assert "The predictor could not be shown" in text
    assert set(re.findall(r'(?:src|href)="([^"]*)"', text)) == {"data:,", "/"}


def test_ctrl_c_ends_it_cleanly():
    served = Served()
    served.stop()
    assert served.process.returncode == 0
    assert served.lines[-1] == "Stopped.\n"
    assert len(served.lines) == 3, served.log()


def test_a_taken_port_is_told_in_one_line():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        done = subprocess.run([*COMMAND, str(port)], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [f"error: port {port} is in use by another program; end that, or choose another port such as {port + 1}"]


def test_the_package_holds_the_notebook_of_nbs():
    packaged, notebook = (REPO / folder / "dashboard.ipynb" for folder in ("studperf/assets", "nbs"))
    assert packaged.read_bytes() == notebook.read_bytes(), "copy nbs/dashboard.ipynb to studperf/assets"
