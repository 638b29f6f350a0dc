"""The predictor as the last line of a cell, in a real JupyterLab and a real browser."""
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from playwright.sync_api import expect
from serving import PATIENCE, free_port

from studperf import PredictorWidget, fit_predictor, load_students

TOKEN = "for-this-test"
CODE = """from studperf import PredictorWidget, fit_predictor, load_students

model = fit_predictor(load_students(), "math", inputs=["gender", "lunch"], model="least squares")
PredictorWidget(model)"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of JupyterLab with a notebook of one cell."""
    folder, port = tmp_path_factory.mktemp("lab"), free_port()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CODE)], metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    nbformat.write(notebook, folder / "try.ipynb")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}",
               f"--ServerApp.root_dir={folder}", "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    log = folder / "log"
    with log.open("w") as file, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
                                             env=os.environ | {"JUPYTERLAB_SETTINGS_DIR": str(folder)}) as server:
        deadline = time.monotonic() + PATIENCE
        while "is running at" not in log.read_text():
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(.2)
        yield f"http://localhost:{port}/lab/tree/try.ipynb?token={TOKEN}"
        server.send_signal(signal.SIGTERM)
    print(log.read_text())


def choose_theme(address, theme):
    """Set JupyterLab's theme, as its menu does."""
    where = f"{address.partition('/lab/tree')[0]}/lab/api/settings/@jupyterlab/apputils-extension:themes"
    body = json.dumps({"raw": json.dumps({"theme": theme})}).encode()
    with urllib.request.urlopen(urllib.request.Request(where, body, {"Authorization": f"token {TOKEN}"}, method="PUT"), timeout=PATIENCE) as response:
        assert response.status == 204


def open_lab(page, address):
    """Open the notebook, and wait for its kernel."""
    page.goto(address)
    page.locator(".jp-Cell .cm-content").first.click()
    page.locator(".jp-NotebookPanel-toolbar [data-status=idle], .jp-Notebook-ExecutionIndicator[data-status=idle]").first.wait_for(state="attached")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_predictor_in_a_cell(browser, lab, artefacts, theme):
    predictor = PredictorWidget(fit_predictor(load_students(), "math", inputs=["gender", "lunch"], model="least squares"))
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(PATIENCE * 1000)
    try:
        choose_theme(lab, f"JupyterLab {theme.title()}")
        open_lab(page, lab)
        page.locator(f"body[data-jp-theme-light={str(theme == 'light').lower()}]").wait_for(state="attached")
        page.keyboard.press("Shift+Enter")
        page.locator(".sp-score b").wait_for()
        page.get_by_role("radio", name="free/reduced").check()
        page.get_by_role("radio", name="female").check()
        answer = predictor.predict("math", {"gender": "female", "lunch": "free/reduced"})
        expect(page.locator(".sp-score b")).to_have_text(f"{answer.prediction:.0f}")
        expect(page.locator(".sp-range")).to_contain_text(f"between {answer.low:.0f} and {answer.high:.0f}")
        page.locator(".sp").first.screenshot(path=artefacts / f"lab-{theme}.png")
        page.get_by_role("radio", name="Class list").check()
        with page.expect_file_chooser() as chooser:
            page.locator(".sp-upload").click()
        chooser.value.set_files({"name": "class.csv", "mimeType": "text/csv", "buffer": b"gender,lunch\nfemale,free/reduced\n"})
        expect(page.locator(".sp-view")).to_contain_text("1 of 1 rows have a prediction")
        for only_there in (".sp-drop-hint", ".sp-tour", ".sp-copy"):  # a page of its own has a script for these
            expect(page.locator(only_there).first).to_be_hidden()
        box = page.locator(".sp").first
        assert box.evaluate("box => box.scrollWidth <= box.clientWidth + 1")
    finally:
        page.close()
