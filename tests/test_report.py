"""The report of the real file and of odd tables, in a real browser."""
import re
import warnings
from functools import cache

import nbformat
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from studperf import Cohort, Schema, gaps, report
from studperf.rows.values import DataWarning


@pytest.fixture(scope="module")
def sample_report(tmp_path_factory):
    return report(None, tmp_path_factory.mktemp("sample") / "report.html")


@pytest.fixture(scope="module")
def real_report(shared_data, tmp_path_factory):
    return report(shared_data("StudentsPerformance.csv"), tmp_path_factory.mktemp("real") / "report.html")


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (390, "dark")])
def test_axe_finds_no_violation(axe, browser, sample_report, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(sample_report.as_uri())
    page.evaluate(axe)
    found = page.evaluate("axe.run(document)")
    page.close()
    assert len(found["passes"]) > 20
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found["violations"]] == []


def test_the_notebook_was_run_and_has_the_reports_numbers(tmp_path):
    rows = table(200)
    with pytest.warns(DataWarning, match="report.cohort.parquet: the notebook reads it, and it holds the counts of all groups"):
        path = report(rows, tmp_path / "report.html", schema=PUPILS, notebook=True)
    notebook = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    shown = next(cell.outputs[0].data["text/plain"] for cell in code if cell.source.endswith("\nwidest"))
    page = re.sub(r"<[^>]*>", " ", path.read_text())
    for gap in gaps(Cohort.summarize(rows, PUPILS))["gap"]:
        assert f"{gap:.6f}" in shown and f"{gap:.1f}" in page
    assert any("image/png" in output.get("data", {}) for cell in code for output in cell.outputs)


def test_an_error_leaves_neither_report_nor_notebook(tmp_path, monkeypatch):
    monkeypatch.setattr("studperf.reporting.report_notebook.notebook_cells", lambda *given, **options: [("code", "1 / 0")])
    with pytest.raises(Exception, match="ZeroDivisionError"):
        report(table(), tmp_path / "report.html", schema=PUPILS, notebook=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_real_files_report_in_a_browser(real_report, browser, artefacts, width):
    assert real_report.stat().st_size < 3e6
    page = browser.new_page(viewport={"width": width, "height": 900})
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(real_report.as_uri())
    page.screenshot(path=artefacts / f"report-{width}.png", full_page=True)
    assert not errors
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width, "the page scrolls sideways"
    assert page.locator("figure.strips [role=img][aria-label*=Histogram]").count() == 15
    assert page.locator("figure.strips [role=img] .rows").count() == 5  # gaps, three scores' means, the ceiling
    assert page.evaluate("[...document.querySelectorAll('[role=img]')].every(figure => figure.ariaLabel.length > 20)")
    assert page.evaluate("""[...document.querySelectorAll('.rows')].every(rows => [...rows.querySelectorAll('i, b, em')].every(mark => {
        const scale = rows.querySelector('.lines > div').getBoundingClientRect(), own = mark.getBoundingClientRect()
        return scale.left - 6 < own.left && own.right < scale.right + 6 && own.height > 0}))"""), "a mark lies outside of its scale"
    assert page.evaluate("[...document.querySelectorAll('table')].every(table => table.caption && table.querySelector('th[scope=col]'))")
    text = page.inner_text("main")
    assert "the “standard” group scores 11.1 points higher on average than the “free/reduced” group (95% interval 9.2 to 13.0)" in text
    assert not re.search(r"\bnan\b|None|\{\{|effect of|impact|caus(e|al)", text)
    page.close()


def table(n=60, seed=0, **columns):
    random = np.random.default_rng(seed)
    rows = {"class": random.choice(["7a", "7b", "7c"], n), "sex": random.choice(["f", "m"], n), "essay": random.integers(0, 21, n)}
    return pd.DataFrame(rows | {name: make(random, n) for name, make in columns.items()})


PUPILS = Schema(["class", "sex"], {"essay": (0, 20)})
ODD_TABLES = {
    "one factor": (table(), Schema(["class"], ["essay"])),
    "a factor with one level": (table(sex=lambda random, n: ["f"] * n), PUPILS),
    "a constant score": (table(essay=lambda random, n: [7] * n), PUPILS),
    "a score that nobody has": (table(essay=lambda random, n: [np.nan] * n, exam=lambda random, n: random.integers(0, 9, n)),
                                Schema(["class", "sex"], ["essay", "exam"])),
    "a factor under two names": (table().assign(group=lambda rows: rows["class"]), Schema(["class", "group"], ["essay"])),
    "missing values everywhere": (table(200).mask(np.random.default_rng(1).random((200, 3)) < .2), PUPILS),
    "twelve students": (table(12), PUPILS),
    "decimals and negative scores": (table(essay=lambda random, n: random.normal(0, 5, n)), Schema(["class", "sex"], ["essay"])),
    "many levels": (table(400, **{"class": lambda random, n: random.choice([f"class {i}" for i in range(25)], n)}), PUPILS),
    "a constant score without limits": (table(essay=lambda random, n: [7.3] * n), Schema(["class", "sex"], ["essay"])),
    "a factor that another gives": (table().assign(half=lambda rows: rows["class"].eq("7a").map({True: "x", False: "y"})),
                                    Schema(["class", "half"], ["essay"])),
    "pupils in schools": (table(300, school=lambda random, n: random.integers(0, 9, n)), Schema(["class"], ["essay"], cluster="school")),
    "a constant and a missing numeric column": (table(age=lambda random, n: [16] * n, hours=lambda random, n: [np.nan] * n),
                                                Schema(["class", "sex"], ["essay"], covariates=["age", "hours"])),
    "a numeric column and nobody to compare": (table(age=lambda random, n: random.integers(12, 18, n), **{"class": lambda random, n: ["7a"] * n}, sex=lambda random, n: ["f"] * n),
                                               Schema(["class", "sex"], ["essay"], covariates=["age"])),
    "dollars": (table().replace({"class": {"7a": r"$\frac$"}}), PUPILS),
    "long names": (table().rename(columns={"class": "the class that the pupil attends this year"}),
                   Schema(["the class that the pupil attends this year", "sex"], {"essay": (0, 20)})),
}


def test_groups_of_one_have_no_figure(tmp_path):
    alone = pd.DataFrame({"class": ["7a", "7b", "7c"], "essay": [3, 4, 9]})
    page = report(alone, tmp_path / "report.html", schema=Schema(["class"], {"essay": (0, 20)}), min_n=1).read_text()
    assert "Mean essay score by group" not in page and "The table has 3 students" in page


@pytest.fixture(scope="module")
def odd_report(tmp_path_factory):
    """`odd_report(kind)` is the page on one of the odd tables, made at the first call."""
    @cache
    def made(kind):
        rows, schema = ODD_TABLES[kind]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return report(rows, tmp_path_factory.mktemp("odd") / "report.html", schema=schema).read_text()
    return made


@pytest.mark.parametrize("kind", ODD_TABLES)
def test_an_odd_table_gives_a_report_that_says_so(odd_report, kind):
    text = re.sub(r"<style.*?</style>|data:[^\"]*|<[^>]*>", " ", odd_report(kind), flags=re.DOTALL)
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", text), re.findall(r".{60}\b(?:nan|None|inf)\b.{40}", text)


def test_what_cannot_be_tested_is_not_told_as_no_difference(odd_report):
    text = odd_report("a factor that another gives")
    assert "Could not be tested beside the other factors: half" in text and "grouped by" not in text
    assert "The students are grouped by school (9 groups), and" in odd_report("pupils in schools")


@pytest.mark.parametrize("cluster", [None, "school"])
def test_gaps_are_told_with_numeric_columns_held_equal_too(tmp_path, cluster):
    rows = table(400, age=lambda random, n: random.integers(14, 18, n), school=lambda random, n: random.integers(0, 12, n))
    rows.loc[rows["sex"] == "f", "age"] += 1  # so part of the gap is explained by age
    rows["essay"] = (2 * (rows["age"] - 14) + 3 * (rows["sex"] == "f") + rows["essay"] / 3).round()
    rows.loc[:9, "age"] = np.nan
    schema = Schema(["class", "sex"], ["essay"], covariates=["age"], cluster=cluster)
    text = re.sub(r"<[^>]*>", " ", report(rows, tmp_path / "report.html", schema=schema).read_text())
    known = rows.dropna()
    by = {"groups": known["school"]} if cluster else None
    fit = smf.ols("essay ~ Q('class') + sex + age", known).fit(**({"cov_type": "cluster", "cov_kwds": by, "use_t": True} if by else {}))
    gap, (low, high) = -fit.params["sex[T.m]"], sorted(-fit.conf_int().loc["sex[T.m]"])
    assert f"that of sex in essay: the “f” group scores {gap:.1f} points higher than the “m” group (95% interval {low:.1f} to {high:.1f}), instead of" in text
    assert f"age 390 {fit.params['age']:.2f} {fit.conf_int().loc['age', 0]:.2f}" in " ".join(text.split())
    assert ("cluster errors" if cluster else "classical errors") in text


def test_a_wide_table_is_told_what_can_be_told(tmp_path):
    """As many factors as a school keeps of its pupils: nobody has a twin, so there is no ceiling, and least squares is too flexible."""
    random = np.random.default_rng(5)
    rows = table(250, **{f"question {i}": lambda random, n: random.choice(list("abcd"), n) for i in range(14)})
    rows["essay"] = (10 + 4 * (rows["question 0"] == "a") + random.normal(0, 3, 250)).round().clip(0, 20)
    schema = Schema.infer(rows, scores=["essay"])
    text = re.sub(r"<[^>]*>", " ", report(rows, tmp_path / "report.html", schema=schema).read_text())
    assert "unknown for essay (no cell has two students). An additive model of them explains" in text
    assert re.search(r"Question 0\s+: the “a” group scores higher than the “[bcd]” group, by", text) and re.search(r"essay\s+ridge\s+\d", text)


def test_a_cohort_can_be_reported_without_the_rows(tmp_path):
    rows = table(300)
    by_rows = report(rows, tmp_path / "rows.html", schema=PUPILS, call="x").read_text()
    by_cohort = report(Cohort.summarize(rows, PUPILS), tmp_path / "cohort.html", call="x").read_text()
    assert by_rows == by_cohort


def test_no_small_group_is_shown(tmp_path):
    rows = table(300)
    rows.loc[:3, "class"] = "the four"
    text = report(rows, tmp_path / "report.html", schema=PUPILS).read_text()
    assert text.count("the four") == 1  # where the report says that it is not shown
    assert "not shown: “the four”" in text
