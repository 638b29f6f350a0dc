"""The predictor on the docs site: its JavaScript gives Python's numbers, in a real browser, and asks no host for anything."""
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from arithmetic_cases import LEVEL, MARKS, SHORT, case

from studperf import STUDENTS, fit_predictor, load_students
from studperf.prediction.formula_file import formula_to_dict

REPO = Path(__file__).resolve().parents[1]
SCORES = ("math", "reading", "writing")
KINDS = [dict(zip(STUDENTS.factors, levels, strict=True)) for levels in product(*STUDENTS.factors.values())]


@pytest.fixture(scope="module")
def html():
    """What the page of the site shows, as it is committed."""
    cells = json.loads((REPO / "nbs/start/try_it.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [output["data"] for cell in cells for output in cell.get("outputs", []) if "text/html" in output.get("data", {})]
    return "".join(outputs[0]["text/html"])


@pytest.fixture(scope="module")
def predictors():
    students = load_students()
    return {score: fit_predictor(students, score, inputs="background", model="least squares", progress=False) for score in SCORES}


@pytest.fixture
def page(browser, html):
    page = browser.new_page()
    page.requests = []
    page.on("request", lambda request: page.requests.append(request.url))
    styles = (REPO / "nbs/styles.css").read_text(encoding="utf-8")
    page.set_content(f"<html lang='en'><head><title>predictor</title><style>{styles}</style></head><body><main><h1>Predictor</h1>{html}</main></body></html>")
    yield page
    page.close()


def test_javascript_predicts_what_python_predicts(page, predictors):
    for predictor in predictors.values():
        formula = predictor.formula
        ours = [[*formula.predict_one(kind, level=level)] + [formula.chance(kind, mark) for mark in (0, 30, 59.5, 60, 100, 101)]
                for kind in KINDS for level in (.5, .9, .95)]
        theirs = page.evaluate("""([formula, kinds]) => kinds.flatMap(kind => [.5, .9, .95].map(level => {
            const found = studperf.predictOne(formula, kind, level);
            return [found.prediction, found.low, found.high, found.seen, ...[0, 30, 59.5, 60, 100, 101].map(mark => studperf.chance(formula, kind, mark))]}))""",
                               [formula_to_dict(formula), KINDS])
        assert len(theirs) == 3 * len(KINDS) == 720
        for our, their in zip(ours, theirs, strict=True):
            assert their == pytest.approx(our, abs=1e-12)


@pytest.mark.parametrize("model, inputs", SHORT)
@pytest.mark.usefixtures("no_search")
@pytest.mark.filterwarnings("ignore::studperf.DataWarning")
def test_javascript_predicts_what_the_model_predicts(page, model, inputs):
    """The same students as in `test_arithmetic.py`, with numbers, gaps and tables of all combinations."""
    predictor, _, students, truth = case(model, inputs)
    theirs = page.evaluate("""([formula, students, level, marks]) => students.map(student => {
        const found = studperf.predictOne(formula, student, level);
        return [found.prediction, found.low, found.high, ...marks.map(mark => studperf.chance(formula, student, mark))]})""",
                           [formula_to_dict(predictor.formula), students, LEVEL, MARKS])
    np.testing.assert_allclose([found[:3] for found in theirs], truth, rtol=0, atol=1e-9)
    chances = [[predictor.formula.chance(student, mark) for mark in MARKS] for student in students]
    np.testing.assert_allclose([found[3:] for found in theirs], chances, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("no_search")
@pytest.mark.filterwarnings("ignore::studperf.DataWarning")
def test_javascript_refuses_what_it_cannot_ask(page):
    ask = "([formula, student]) => studperf.predictOne(formula, student)"
    predictor, _, students, _ = case("least squares", "all")
    formula = formula_to_dict(predictor.formula)
    for student, said in ((students[1] | {"writing": 101}, "writing: found 101, expected a number from 0 to 100"),
                          (students[1] | {"writing": None}, "writing: found null, expected a number"), ({}, "gender: found null")):
        with pytest.raises(Exception, match=said):
            page.evaluate(ask, [formula, student])
    with pytest.raises(Exception, match="a model of trees"):
        page.evaluate(ask, [formula | {"encoded": {}}, students[1]])


def test_an_unknown_level_is_refused(page, predictors):
    formula = formula_to_dict(predictors["math"].formula)
    with pytest.raises(Exception, match="lunch: found \"none\", expected one of free/reduced, standard"):
        page.evaluate("([formula, kind]) => studperf.predictOne(formula, kind)", [formula, KINDS[0] | {"lunch": "none"}])


def test_the_page_answers_what_is_chosen(page, predictors):
    chosen = {"gender": "female", "ethnicity": "group E", "parental_education": "master's degree", "lunch": "standard", "test_prep": "completed"}
    page.select_option("select[name=target]", "writing")
    for name, level in chosen.items():
        page.select_option(f"select[name={name}]", level)
    page.fill("input[name=mark]", "75")
    formula = predictors["writing"].formula
    found = formula.predict_one(chosen)
    answer = page.inner_text("output")
    assert answer.startswith(f"{found.prediction:.0f} points in writing")
    assert f"between {found.low:.0f} and {found.high:.0f}." in answer
    assert f" {100 * formula.chance(chosen, 75):.0f} in 100 reach 75 or more." in answer
    page.fill("input[name=mark]", "200")
    assert "must lie between 0 and 100" in page.inner_text("output")
    assert page.requests == []


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_fit_for_all(page, axe, artefacts, width):
    page.set_viewport_size({"width": width, "height": 700})
    page.screenshot(path=artefacts / f"try_it-{width}.png")
    assert page.evaluate("document.documentElement.scrollWidth") == width, "the page scrolls sideways"
    page.evaluate(axe)
    found = page.evaluate("axe.run(document)")
    assert len(found["passes"]) > 10
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found["violations"]] == []
