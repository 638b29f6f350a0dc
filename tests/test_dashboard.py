"""The dashboard as a person meets it: started by its command, seen and used in a browser, stopped by Ctrl-C."""
import json
import re
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import jinja2
import psutil
import pytest
from playwright.sync_api import expect
from serving import COMMAND, PATIENCE, Served
from voila.paths import collect_template_paths

from studperf.dashboard.predictor import PredictorWidget
from studperf.dashboard.server.settings import dashboard_environment

REPO = Path(__file__).resolve().parents[1]
WIDE, MIDDLE, NARROW = {"width": 1280, "height": 900}, {"width": 768, "height": 1024}, {"width": 390, "height": 844}
START = {"gender": "male", "ethnicity": "group C", "parental_education": "some college", "lunch": "standard", "test_prep": "none"}
VIEWS = {"Predict": "students score lower than", "Why": "Why this score", "Compare": "Two students beside each other", "Class list": "Download a template",
         "Explore": "How groups differ", "About": "What it must not be used for"}  # and what is read there


@pytest.fixture(scope="module")
def predictor():
    return PredictorWidget()


@pytest.fixture
def opened(browser, dashboard):
    """`with opened(size) as page`: the dashboard, ready; afterwards nothing may have gone wrong in the browser."""

    @contextmanager
    def open_page(size, query="", forgiven=None, **settings):
        page, wrong, hosts = browser.new_page(viewport=size, **settings), [], set()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))  # None for data in the page itself
        page.on("websocket", lambda websocket: hosts.add(urlsplit(websocket.url).hostname))
        try:
            page.goto(f"{dashboard.address}/{query}", wait_until="commit")
            page.locator(".sp-score b").wait_for()
            yield page
            assert hosts <= {"localhost", None}
            assert "localhost" in hosts
            assert [text for text in wrong if not (forgiven and forgiven in text)] == []
        finally:
            page.goto("about:blank")  # so that the page gives its kernel back
            page.close()
            print(f"the dashboard said:\n{dashboard.log()}")

    return open_page


def assert_shown(page, answer):
    """The page says what `PredictorWidget.predict` gave."""
    share = {.8: "Eight in ten", .9: "Nine in ten", .95: "Nineteen in twenty"}[answer.level]
    expect(page.locator(".sp-what")).to_have_text(f"Expected {answer.target} score")
    expect(page.locator(".sp-range")).to_contain_text(f"{share} fictional students like this score between {answer.low:.0f} and {answer.high:.0f}.")
    expect(page.locator(".sp-score b")).to_have_text(f"{answer.prediction:.0f}")
    expect(page.locator(".sp-notes")).to_contain_text(f"About {answer.percentile:.0f} in 100 fictional students score lower than {answer.prediction:.0f}.")
    described = f"The expected score is {answer.prediction:.0f}, with a range from {answer.low:.0f} to {answer.high:.0f}."
    expect(page.get_by_role("img")).to_have_attribute("aria-label", re.compile(re.escape(described) + "$"))


def test_a_page_asks_for_all_its_widgets_at_once(browser, dashboard):
    """A kernel that does not know ipywidgets' control channel is asked for each of a hundred models, one after the other."""
    page, frames = browser.new_page(viewport=WIDE), []
    page.set_default_timeout(PATIENCE * 1000)
    page.on("websocket", lambda websocket: websocket.on("framereceived", lambda frame: frames.append(frame)))
    page.goto(f"{dashboard.address}/", wait_until="commit")
    page.locator(".sp-score b").wait_for()
    page.goto("about:blank")
    page.close()
    assert 0 < len(frames) < 40


def test_a_class_that_comes_at_once_is_served_in_turn(dashboard):
    """Each of those who wait has the loading screen at once, and then a page of their own with the answer in it."""
    def visit(_):
        with urlopen(f"{dashboard.address}/", timeout=PATIENCE) as page:
            return page.read1().decode(), page.read().decode()

    visit(None)  # the first one teaches the server how a page begins
    with ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(visit, range(8)))
    kernels = [re.search(r'"kernelId": ?"([0-9a-f-]+)"', first + rest)[1] for first, rest in pages]
    assert len(set(kernels)) == 8
    assert any("Getting the predictor ready" in first and "kernelId" not in first for first, _ in pages)
    texts = [first + rest for first, rest in pages]
    assert [text.count("application/vnd.voila.cell-output+json") for text in texts] == [1] * 8
    bare = {re.sub(r'nonce="[^"]+"|[0-9a-f-]{32,36}|cell-id=\w+', "", text) for text in texts}
    assert len(bare) == 1, "pages differ by more than their kernel"


def test_scripts_come_in_few_requests(opened):
    with opened(WIDE) as page:
        asked = page.evaluate("performance.getEntriesByType('resource').map(one => new URL(one.name).pathname).filter(path => path.endsWith('.js'))")
    assert sum(path.endswith("/voila/parts.js") for path in asked) == 1
    assert len(asked) < 15, f"{len(asked)} scripts, of which parts.js should hold nearly all (nbs/7_dashboard/server/scripts.ipynb): {asked}"


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
        others["reading"] = predictor.facts.numbers["reading"].usual
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


def show(page, view):
    page.get_by_role("radiogroup", name="View").get_by_role("radio", name=view).check()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, MIDDLE, NARROW], ids=lambda size: str(size["width"]))
def test_each_view_fits(opened, artefacts, size, scheme):
    with opened(size, color_scheme=scheme) as page:
        for view in VIEWS:
            show(page, view)
            expect(page.locator(".sp-view")).to_contain_text(VIEWS[view])
            expect(page.locator(".sp-headline")).to_be_visible(visible=view in ("Predict", "Why", "Compare"))
            page.screenshot(path=artefacts / f"dashboard-{view.replace(' ', '-').lower()}-{size['width']}-{scheme}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") == size["width"], view
            outside = page.locator(".sp *:visible").evaluate_all(
                "(parts, width) => parts.filter(part => part.getBoundingClientRect().right > width + 1).map(part => part.outerHTML.slice(0, 200))", size["width"])
            assert outside == [], view
        show(page, "Predict")
        form, picture = (page.locator(part).bounding_box() for part in (".sp-form", ".sp-view svg"))
        assert (picture["x"] >= form["x"] + form["width"]) == (size is not NARROW)
        dark = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") == "rgb(18, 22, 28)"
        assert dark == (scheme == "dark")


def test_views_say_what_the_predictor_says(opened, predictor):
    with opened(WIDE) as page:
        show(page, "Why")
        for part in predictor.explain("math", START):
            expect(page.locator(".sp-view")).to_contain_text(f"{part.points:.1f}" if part.name is None else f"{part.points:+.1f}")
        show(page, "Compare")
        page.locator(".sp-second").get_by_role("radiogroup", name="Lunch").get_by_role("radio", name="free/reduced").check()
        other = predictor.predict("math", START | {"lunch": "free/reduced"})
        expect(page.get_by_role("table", name="Expected math score and its range").get_by_role("row", name="Second student")).to_contain_text(
            f"{other.prediction:.0f}{other.low:.0f} to {other.high:.0f}")
        show(page, "Explore")
        expect(page.locator(".sp-view")).to_contain_text(f"{predictor.facts.means['math'][0].mean:.1f}")
        show(page, "About")
        expect(page.locator(".sp-view")).to_contain_text(f"held the score of {100 * predictor.facts.models[0].coverage:.1f} in 100")
        page.get_by_role("radiogroup", name="Score to predict").get_by_role("radio", name="Writing").check()
        expect(page.locator(".sp-view")).to_contain_text(f"held the score of {100 * predictor.facts.models[2].coverage:.1f} in 100")


def test_a_link_holds_the_state(opened, predictor):
    with opened(WIDE, "?gender=female&reading%20score=41&sure=80&mark=50&show=Predict&ethnicity=%3Cscript%3E") as page:
        assert_shown(page, predictor.predict("math", START | {"gender": "female"}, {"reading": 41}, level=.8))
        page.get_by_label("Ethnicity").select_option("group E")
        page.wait_for_url("**ethnicity=group%20E**")
        kept = page.url
        page.get_by_role("button", name="Start again").click()
        assert_shown(page, predictor.predict("math", START))
    with opened(WIDE, "?" + kept.partition("?")[2]) as page:
        assert_shown(page, predictor.predict("math", START | {"gender": "female", "ethnicity": "group E"}, {"reading": 41}, level=.8))
        expect(page.locator(".sp-chance")).to_contain_text("score 50 or more")


def test_the_address_follows_no_faster_than_browsers_allow(opened):
    with opened(WIDE) as page:
        page.evaluate("""() => {
            const write = history.replaceState.bind(history);
            window.written = [];
            history.replaceState = (...given) => { written.push(performance.now()); write(...given); };
        }""")
        for turn in range(30):
            lunch = ("free/reduced", "standard")[turn % 2]
            page.get_by_role("radiogroup", name="Lunch").get_by_role("radio", name=lunch).check()
            page.locator(f".sp-copy[data-query*='lunch={lunch.replace('/', '%2F')}']").wait_for(state="attached")
            if turn < 8:  # as soon as the answer is painted
                assert f"lunch={lunch.replace('/', '%2F')}" in page.evaluate("""() => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(
                    () => setTimeout(() => resolve(location.search)))))""")
        page.wait_for_url("**lunch=standard**")
        page.wait_for_timeout(1000)
        times = page.evaluate("written")
        assert 10 <= len(times) <= 11 + (times[-1] - times[0]) / 350
        assert "lunch=standard" in page.url


def test_a_class_list(opened, predictor, tmp_path):
    rows = [{"name": "<img src=x onerror=window.harm=1>", **START}, {"name": "=1+1", **START, "lunch": "free/reduced"}, {"name": "Kim", **START, "lunch": "reduced"}]
    table = tmp_path / "class.csv"
    table.write_text("\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]), encoding="utf-8")
    with opened(WIDE) as page:
        show(page, "Class list")
        with page.expect_file_chooser() as chooser:
            page.locator(".sp-upload").click()
        chooser.value.set_files(table)
        expect(page.locator(".sp-view")).to_contain_text("2 of 3 rows have a prediction")
        expect(page.locator(".sp-problem")).to_contain_text("Row 4: column 'lunch': found 'reduced', expected one of 'free/reduced', 'standard'")
        expect(page.locator(".sp-view tbody tr").nth(1)).to_contain_text(f"{predictor.predict('math', START | {'lunch': 'free/reduced'}).prediction:.0f}")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the predictions").click()
        lines = Path(download.value.path()).read_text("utf-8-sig").splitlines()
        assert lines[2].startswith("'=1+1,")
        assert lines[3].endswith(",,,,")
        assert page.evaluate("window.harm") is None


def test_a_tour_at_the_first_visit(opened):
    with opened(WIDE) as page:
        tour = page.get_by_role("region", name="A short tour")
        expect(tour).to_contain_text("A short tour, 1 of 4")
        expect(page.locator("[data-toured]")).to_have_class(re.compile("sp-form"))
        assert page.evaluate("document.activeElement === document.body"), "it takes no focus"
        expect(tour.get_by_role("button", name="Back")).to_be_disabled()
        tour.get_by_role("button", name="Next").focus()
        page.keyboard.press("Enter")
        expect(tour).to_contain_text("changes while you choose")
        tour.get_by_role("button", name="Back").press("Enter")
        expect(tour.get_by_role("button", name="Next")).to_be_focused()
        page.keyboard.press("Escape")
        expect(tour).to_be_hidden()
        expect(page.get_by_role("radio", name="Predict")).to_be_focused()
        expect(page.locator("[data-toured]")).to_have_count(0)
        page.reload()
        page.locator(".sp-tour[data-ready]").wait_for(state="attached")
        expect(tour).to_be_hidden()
        page.get_by_text("How to read this page").click()
        page.get_by_role("button", name="Show the tour").click()
        for _ in range(3):
            page.keyboard.press("Enter")
        expect(tour).to_contain_text("A short tour, 4 of 4")
        tour.get_by_role("button", name="Done").click()
        expect(tour).to_be_hidden()


def drop(page, target, name, text):
    """Drop a file on a part of the page, as the hand does."""
    data = page.evaluate_handle("([name, text]) => { const data = new DataTransfer(); data.items.add(new File([text], name)); return data; }", [name, text])
    for kind in ("dragenter", "dragover", "drop"):
        page.locator(target).dispatch_event(kind, {"dataTransfer": data})


def test_a_class_list_is_dropped(opened):
    text = "gender,ethnicity,parental education,lunch,test prep\nmale,group C,some college,standard,none\n"
    with opened(WIDE) as page:
        show(page, "Class list")
        page.locator(".sp-drop[data-ready]").wait_for()  # nobody drops a file on what is not shown yet
        expect(page.locator(".sp-drop")).to_contain_text("or drop it here")
        drop(page, ".sp-nav", "missed.csv", text)  # the page stays
        drop(page, ".sp-drop", "class.csv", text)
        expect(page.locator(".sp-view")).to_contain_text("1 of 1 rows have a prediction")
        expect(page.locator(".sp-drop")).not_to_have_attribute("data-over", "")
        with page.expect_file_chooser() as chooser:
            page.locator(".sp-upload").press("Enter")
        chooser.value.set_files({"name": "empty.csv", "mimeType": "text/csv", "buffer": b""})
        expect(page.locator(".sp-view .sp-problem")).to_contain_text("the file is empty")


def test_a_large_file_is_not_sent(opened, tmp_path):
    with open(tmp_path / "large.csv", "wb") as file:
        file.truncate(200_000_000)
    with opened(WIDE) as page:
        show(page, "Class list")
        page.locator(".sp-drop[data-ready]").wait_for()
        for choose in ("large", "right"):
            with page.expect_file_chooser() as chooser:
                page.locator(".sp-upload").click()
            if choose == "large":
                chooser.value.set_files(tmp_path / "large.csv")
                expect(page.get_by_role("alert")).to_have_text("This file was not read: the file has 200.0 MB, at most 5 MB can be read; leave out columns or rows.")
            else:
                chooser.value.set_files({"name": "small.csv", "mimeType": "text/csv", "buffer": b"a,b\n1,2\n"})
                expect(page.locator(".sp-drop .sp-problem")).to_have_count(0)
                expect(page.locator(".sp-view .sp-problem")).to_contain_text("column 'gender': not found")


def test_a_page_whose_program_ended_goes_on(opened, dashboard, predictor):
    with opened(WIDE, "?gender=female", forgiven="404") as page:  # the page that goes may ask for the end of what has ended
        page.get_by_label("Ethnicity").select_option("group E")
        page.wait_for_url("**ethnicity=group%20E**")
        dashboard.kernel_process(json.loads(page.locator("#jupyter-config-data").text_content())["kernelId"]).kill()
        page.get_by_role("alert").get_by_role("button", name="Continue").click()
        assert_shown(page, predictor.predict("math", START | {"gender": "female", "ethnicity": "group E"}))


def test_a_page_whose_program_ends_before_it_shows_anything_tries_again(browser, dashboard):
    page, killed, held = browser.new_page(viewport=WIDE), [], []
    try:
        # Without its script the page shows nothing, so it is kept waiting for that until the program has ended.
        page.route("**/voila/static/voila.js", lambda route: route.continue_() if killed else held.append(route))
        page.goto(f"{dashboard.address}/?gender=female", wait_until="commit")
        page.locator("#jupyter-config-data").wait_for(state="attached")
        kernel = json.loads(page.locator("#jupyter-config-data").text_content())["kernelId"]
        dashboard.kernel_process(kernel).kill()
        killed.append(kernel)
        for route in held:
            route.continue_()
        page.locator(".sp-score b").wait_for(timeout=1000 * PATIENCE)
        expect(page.get_by_label("Gender").get_by_label("female")).to_be_checked()
        assert json.loads(page.locator("#jupyter-config-data").text_content())["kernelId"] not in killed
        expect(page.locator("#lost")).to_have_count(0)
    finally:
        page.close()


def test_a_closed_page_frees_its_kernel(opened, dashboard):
    with opened(WIDE) as page:
        kernel = json.loads(page.locator("#jupyter-config-data").text_content())["kernelId"]
        process = dashboard.kernel_process(kernel)
        page.goto("about:blank")
        assert psutil.wait_procs([process], PATIENCE)[0] == [process]


def test_an_error_page_asks_no_other_host(monkeypatch, tmp_path):
    monkeypatch.setenv("JUPYTER_PATH", dashboard_environment(str(tmp_path))["JUPYTER_PATH"])
    loader = jinja2.FileSystemLoader(collect_template_paths(["voila", "nbconvert"], "studperf", prune=True))
    text = jinja2.Environment(loader=loader).get_template("error.html").render(status_code=500, base_url="/")
    assert "The predictor could not be shown" in text
    assert set(re.findall(r'(?:src|href)="([^"]*)"', text)) == {"data:,", "/"}


def test_ctrl_c_ends_it_cleanly(prepared):
    for _ in range(3):
        served = Served("--prepared", prepared)
        served.stop()
        if "Address already in use" not in served.log():  # Jupyter chooses a free port first, which another server can take meanwhile
            break
    assert served.process.returncode == 0
    assert served.lines[-1] == "Stopped.\n"
    assert len(served.lines) == 3, served.log()


def test_a_taken_port_is_told_in_one_line():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        done = subprocess.run([*COMMAND, "--port", str(port)], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [f"error: port {port} is in use by another program; end that, or choose another port such as {port + 1}"]


def test_the_package_holds_the_notebook_of_nbs():
    packaged, notebook = (REPO / folder / "dashboard.ipynb" for folder in ("studperf/assets", "nbs"))
    assert packaged.read_bytes() == notebook.read_bytes(), "copy nbs/dashboard.ipynb to studperf/assets"
