"""The report of the real file and of odd tables, in a real browser."""
import html
import re
import warnings
from dataclasses import replace
from functools import cache

import nbformat
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from conftest import shared_file, violations
from scipy.stats import studentized_range

from studperf import Cohort, Schema, gaps, odds, report
from studperf.rows.values import DataWarning


@pytest.fixture(scope="module")
def sample_report(tmp_path_factory):
    return report(None, tmp_path_factory.mktemp("sample") / "report.html", mark=60)


@pytest.fixture(scope="module")
def real_report(shared_data, tmp_path_factory):
    return report(shared_data("StudentsPerformance.csv"), tmp_path_factory.mktemp("real") / "report.html")


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (390, "dark")])
def test_axe_finds_no_violation(axe, browser, sample_report, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(sample_report.as_uri())
    wrong = violations(page, axe)
    page.close()
    assert wrong == []


def test_the_notebook_was_run_and_has_the_reports_numbers(tmp_path):
    rows = table(200)
    with pytest.warns(DataWarning, match="report.cohort.parquet: the notebook reads it, and it holds the counts of all groups"):
        path = report(rows, tmp_path / "report.html", schema=PUPILS, notebook=True)
    notebook = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    shown = next(cell.outputs[0].data["text/plain"] for cell in code if cell.source.endswith("\nwidest"))
    page = re.sub(r"<[^>]*>", " ", path.read_text())
    for gap in gaps(Cohort.summarize(rows, PUPILS), adjust="bonferroni")["gap"]:
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
    page.screenshot(path=artefacts / f"report-{width}-closed.png", full_page=True)
    page.get_by_role("button", name="Open all parts").click()
    page.screenshot(path=artefacts / f"report-{width}.png", full_page=True)
    assert not errors
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width, "the page scrolls sideways"
    assert page.locator("figure.strips [role=img][aria-label*=Histogram]").count() == 18
    assert page.locator("figure.strips [role=img] .rows").count() == 5  # gaps, three scores' means, the ceiling
    assert page.evaluate("[...document.querySelectorAll('[role=img]')].every(figure => figure.ariaLabel.length > 20)")
    assert page.evaluate("""[...document.querySelectorAll('.rows')].every(rows => [...rows.querySelectorAll('i, b, em')].every(mark => {
        const scale = rows.querySelector('.lines > div').getBoundingClientRect(), own = mark.getBoundingClientRect()
        return scale.left - 6 < own.left && own.right < scale.right + 6 && own.height > 0}))"""), "a mark lies outside of its scale"
    assert page.evaluate("[...document.querySelectorAll('table')].every(table => table.caption && table.querySelector('th[scope=col]'))")
    text = page.inner_text("main")
    assert "the “standard” group scores 11.1 points higher on average than the “free/reduced” group (95% interval 8.3 to 14.0)" in text
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
    text = re.sub(r"<style.*?</style>|<script.*?</script>|data:[^\"]*|<[^>]*>", " ", odd_report(kind), flags=re.DOTALL)
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
    gap, (low, high) = -fit.params["sex[T.m]"], sorted(-fit.conf_int(.05 / 2).loc["sex[T.m]"])  # two gaps at once
    assert f"that of sex in essay: the “f” group scores {gap:.1f} points higher than the “m” group (95% interval {low:.1f} to {high:.1f}), instead of" in text
    assert f"age 390 {fit.params['age']:.2f} {fit.conf_int().loc['age', 0]:.2f}" in " ".join(text.split())
    assert ("cluster HC3 errors" if cluster else "classical errors") in text


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


def words_of(page):
    """The text of a page, its tables' cells and its figures' alternatives."""
    alternatives = re.findall(r'aria-label="([^"]*)"', page)
    text = re.sub(r"<style.*?</style>|<script.*?</script>", " ", page, flags=re.DOTALL)
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", text).split())), [html.unescape(text) for text in alternatives]


def section_on_marks(page):
    return words_of(re.search(r'<section id="mark".*?</section>', page, re.DOTALL)[0])


@pytest.fixture(scope="module")
def portuguese():
    """A stranger's table, and its Schema."""
    keys = ["school", "sex", "Mjob", "higher"]
    rows = pd.read_csv(shared_file("wild", "student-por.csv"), sep=";", keep_default_na=False)[[*keys, "G1", "G3"]]
    return rows, Schema(keys, {"G1": (0, 20), "G3": (0, 20)})


def test_reaching_a_mark_is_what_a_fit_of_the_rows_says(portuguese, tmp_path):
    rows, schema = portuguese
    page = report(rows, tmp_path / "report.html", schema=schema, mark={"G3": 10}).read_text()
    text, alternatives = section_on_marks(page)
    fit = smf.logit("reached ~ school + sex + C(Mjob) + higher", rows.assign(reached=(rows["G3"] >= 10).astype(int))).fit(disp=False)
    chances, gradients = {}, {}
    for factor in schema.factors:
        for level in sorted(rows[factor].unique()):
            moved = fit.model.data.orig_exog.copy()
            own = [name for name in moved if name.removeprefix("C(").startswith(factor)]
            moved[own] = [float(name.endswith(f"[T.{level}]")) for name in own]
            chance = 1 / (1 + np.exp(-moved @ fit.params))
            chances[factor, level] = chance.mean()
            gradients[factor, level] = (moved.T @ (chance * (1 - chance))) / len(rows)
    widest = {}
    for factor in schema.factors:
        own = {level: chance for (name, level), chance in chances.items() if name == factor}
        high, low = max(own, key=own.get), min(own, key=own.get)
        change = gradients[factor, high] - gradients[factor, low]
        margin = studentized_range.isf(.05 / 4, len(own), np.inf) / np.sqrt(2) * np.sqrt(change @ fit.cov_params() @ change)
        widest[factor] = (100 * (own[high] - own[low]), 100 * margin, high, low)
    factor = max(widest, key=lambda name: widest[name][0])
    estimate, margin, high, low = widest[factor]
    share = (rows["G3"] >= 10).mean()
    assert f"Of {len(rows)} students, {(rows['G3'] >= 10).sum()} ({share:.1%}) reach 10 or more in G3." in text
    headline = (f"the widest difference beyond chance is by {factor}: the “{high}” group reaches 10 in G3 {estimate:.1f} percentage points more often "
                f"than the “{low}” group (95% interval {estimate - margin:.1f} to {estimate + margin:.1f}; odds ratio ")
    assert headline in text and headline in words_of(page)[0].split("The gap of each factor")[0], "section and answer"
    for name, (estimate, margin, high, low) in widest.items():
        cells = f"{name} {high} {low} {estimate:.1f} {estimate - margin:.1f} {estimate + margin:.1f}".replace("-", "−")
        assert cells in text, "the table"
    figure = next(text for text in alternatives if text.startswith("Share of students who reach 10 or more in G3"))
    for (name, level), chance in chances.items():
        group = rows.loc[rows[name] == level, "G3"]
        assert f"{level} {(group >= 10).mean():.1%} (adjusted {chance:.1%}, " in figure
        assert f"{name} {level} {len(group)} {100 * (group >= 10).mean():.1f} {100 * chance:.1f} " in text
    assert "G1: 10 or more" not in text and "mark={'G3': 10}" in page.replace("&#39;", "'")
    assert 'id="mark"' not in report(rows, tmp_path / "plain.html", schema=schema).read_text()


def test_the_notebook_reaches_the_same_mark(portuguese, tmp_path):
    rows, schema = portuguese
    with pytest.warns(DataWarning, match="the notebook reads it"):
        path = report(rows, tmp_path / "report.html", schema=schema, mark={"G3": 10}, notebook=True)
    code = {cell.source: cell.outputs for cell in nbformat.read(path.with_suffix(".ipynb"), as_version=4).cells if cell.cell_type == "code"}
    model = odds(rows, "G3", 10, schema=schema)
    at_once = replace(model, conf_level=1 - .05 / 4).widest()
    assert code["reached = odds(students['G3'], 'G3', 10)\nreached"][0].data["text/html"] == model._repr_html_()
    table = code["widest_at_once(reached, 10, 1)"][0].data["text/plain"]
    assert all(f"{row.estimate:.6f}" in table and f"{row.ci_low:.6f}" in table for row in at_once.itertuples())
    assert "image/png" in code["plot_odds(students['G3'], 'G3', 10, model=reached, min_n=10);"][-1].data
    row = at_once.sort_values("estimate").iloc[-1]
    assert f"{row['estimate']:.1f} percentage points more often than the “{row['group_b']}” group" in section_on_marks(path.read_text())[0]


@pytest.mark.parametrize("kind", ODD_TABLES)
def test_an_odd_table_says_who_reaches_a_mark_or_why_not(kind, tmp_path):
    rows, schema = ODD_TABLES[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text, alternatives = section_on_marks(report(rows, tmp_path / "report.html", schema=schema, mark=7).read_text())
    assert not re.search(r"\bnan\b|\bNone\b(?! of)|\binf\b", text + " ".join(alternatives))
    assert any(start in text for start in ("the widest difference is by", "percentage points more often than", "cannot be estimated",
                                           "So the groups do not differ")), text
    reason = {"a constant score": "All 60 students reach 7 or more in essay. So the groups do not differ",
              "decimals and negative scores": "too many different values", "a factor under two names": "says the same as others",
              "a factor that another gives": "says the same as others"}
    assert reason.get(kind, "") in text


@pytest.mark.parametrize("missing", [0, .12])
def test_no_small_group_is_shown_beside_a_mark(missing, tmp_path):
    random = np.random.default_rng(7)
    rows = table(300, seed=3)
    rows.loc[:3, "class"], rows.loc[:3, "essay"] = "the four", 20
    rows.loc[4:14, "class"], rows.loc[4:14, "essay"] = "the eleven", [20, 0, 20, 0, 20, 0, 20, 0, 20, 0, 20]
    rows.loc[random.random(300) < missing, "sex"] = np.nan
    rows.loc[4:7, "sex"] = np.nan if missing else rows.loc[4:7, "sex"]  # seven of the eleven have all factors
    text, alternatives = section_on_marks(report(rows, tmp_path / "report.html", schema=PUPILS, mark=10).read_text())
    assert "the four" not in text + str(alternatives)
    assert ("class the eleven 11 54.5 " in text) != bool(missing) and "11 54.5 –" not in text  # seven are not compared, raw or adjusted
    assert not (missing and "the eleven" in text + str(alternatives))


def test_infinite_odds_name_no_small_group(tmp_path):
    rows = table(200, seed=4)
    rows.loc[:11, "class"], rows.loc[:11, "essay"] = "the twelve", [*range(11, 20), 11, 14, 17]
    text, _ = section_on_marks(report(rows, tmp_path / "one.html", schema=PUPILS, mark=10).read_text())
    assert "infinite for class 'the twelve' (all of them)" in text and "percentage points more" not in text
    rows.loc[[*range(5), *range(100, 120)], "sex"] = np.nan  # now seven have all factors
    text, _ = section_on_marks(report(rows, tmp_path / "two.html", schema=PUPILS, mark=10).read_text())
    assert "percentage points more often" in text and "infinite" not in text and "the twelve" not in text  # so they are left out


@pytest.mark.parametrize("mark, message", [({"maths": 60}, "expected scores of the table"), ({"math": "60"}, "mark of 'math': found '60'"),
                                           (float("inf"), "found inf"), (True, "found True")])
def test_a_mark_that_is_none_is_refused(mark, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        report(None, tmp_path / "report.html", mark=mark)
    assert list(tmp_path.iterdir()) == []


def test_no_small_group_is_shown(tmp_path):
    rows = table(300)
    rows.loc[:3, "class"] = "the four"
    text = report(rows, tmp_path / "report.html", schema=PUPILS).read_text()
    assert "the four" not in text  # its name would say that such students exist
    assert "1 group of fewer than 10 students, or whose mean gives single scores away, is not shown" in text
