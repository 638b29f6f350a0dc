"""What a notebook shows of a Cohort, a Regression and a ScorePredictor: their own numbers, escaped names, no small group."""
import re
from html import unescape

import numpy as np
import pandas as pd
import pytest

from studperf import Cohort, Schema, compare_models, fit_predictor, load_students, regress, simulate_students
from studperf.text import number_format

HOSTILE = "<img src=x onerror=alert(1)>"


def rows_of(html):
    """The rows of all tables: their cells' texts."""
    return [[unescape(re.sub(r"<.*?>", "", cell)) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in re.findall(r"<tr>.*?</tr>", html)]


def row_of(html, name):
    return next(row for row in rows_of(html) if row[0] == name)


@pytest.fixture(scope="module")
def table():
    """Fictional: 400 pupils, of whom 4 are of a third group with a hostile name, and 3 have no form."""
    random = np.random.default_rng(3)
    rows = pd.DataFrame({"group": np.where(random.random(400) < .5, "a & b", "c"), "form": random.choice(["x", "y"], 400),
                         "essay": random.integers(0, 21, 400), "class": [f"class {place % 30:02}" for place in range(400)]})
    rows.loc[:3, "group"] = HOSTILE
    rows.loc[10:12, "form"] = None
    rows.loc[100:149, "essay"] = np.nan
    return rows


@pytest.fixture(scope="module")
def schema():
    return Schema(["group", "form"], {"essay": (0, 20)}, cluster="class", left_out={"<id>": "an identifier"})


def test_a_cohort_tells_its_numbers_and_no_small_group(table, schema):
    html = Cohort.summarize(table, schema)._repr_html_()
    essay = table["essay"]
    assert row_of(html, "essay") == ["essay", "350", "50", f"{essay.mean():.1f}", f"{essay.std():.1f}"]
    counts = table["group"].value_counts()
    assert row_of(html, "group")[1] == f"a & b ({counts['a & b']}), c ({counts['c']}); 1 level of fewer than 10 students"
    assert row_of(html, "form")[1].endswith("; no value (fewer than 10)")
    assert row_of(html, "class")[1].count("class ") == 12 and "and 18 more levels" in row_of(html, "class")[1]
    assert "Columns left out: &lt;id&gt;." in html
    assert HOSTILE not in html and "<id>" not in html


def test_a_cohort_of_few_students_tells_no_score(schema, table):
    html = Cohort.summarize(table.head(9), schema)._repr_html_()
    assert row_of(html, "essay") == ["essay", "fewer than 10", "0", "–", "–"]


def test_what_is_suppressed_is_told(table, schema):
    safe = Cohort.summarize(table, schema.only(["group", "form", "essay"])).suppress(min_n=10, alone=True)
    assert safe.suppressed == 7 and "Fewer than 10 more students were left out" in safe._repr_html_()


def test_a_weighted_cohort_tells_weighted_means(table):
    weights = np.where(table["form"] == "x", 3.0, 1.0)
    cohort = Cohort.summarize(table.assign(w=weights), Schema(["group"], ["essay"], weight="w"))
    there = table["essay"].notna()
    mean = np.average(table["essay"][there], weights=weights[there])
    assert row_of(cohort._repr_html_(), "essay")[3] == f"{mean:.1f}" and "as often as w says" in cohort._repr_html_()


def test_a_regression_tells_its_coefficients_but_none_of_a_small_group(table, schema):
    regression = regress(Cohort.summarize(table, schema), "essay", factors=["form", "group"])
    html, coefficients = regression._repr_html_(), regression.coefficients.set_index("term")
    form, text = coefficients.loc["form: y"], number_format(regression.sigma)
    assert row_of(html, "form: y")[:3] == ["form: y", text(form["estimate"]), f"{text(form['ci_low'])} to {text(form['ci_high'])}"]
    # The small group stands first in the alphabet: the intercept and the other groups' differences would tell of it.
    for term in ("intercept", "group: a & b", "group: c"):
        assert row_of(html, term) == [term, "–", "fewer than 10 students", "–"]
    assert HOSTILE not in html
    assert f"R² {regression.r2:.3f}" in html


def test_aliased_terms_and_interactions_of_small_cells_have_no_number(table):
    rows = table.assign(group=table["group"].replace(HOSTILE, "c"), twin=table["form"])
    rows = rows[(rows["group"] == "c") | (rows["form"] == "x") | (rows.index < 30)]  # few of a & b are in form y
    cells = rows[rows["essay"].notna()].value_counts(["group", "form"])
    assert cells["a & b", "y"] < 10 < cells["c", "y"]
    schema = Schema(["group", "form", "twin"], ["essay"])
    html = regress(Cohort.summarize(rows, schema), "essay", interactions=[("group", "form")])._repr_html_()
    assert row_of(html, "twin: y")[1:] == ["–", "not estimated", "–"]
    assert row_of(html, "group: c x form: y")[2] == "fewer than 10 students"
    whole = regress(Cohort.summarize(table.assign(twin=0), schema), "essay", factors=["group", "form"], interactions=[("group", "form")])
    assert row_of(whole._repr_html_(), "form: y")[2] != "fewer than 10 students"


def test_a_predictor_tells_its_errors_and_the_intervals_of_its_comparison():
    rows = simulate_students(300, seed=5)
    comparison = compare_models(rows, "math", models=["mean", "least squares"], repeats=1, progress=False)
    predictor = fit_predictor(rows, "math", comparison=comparison, progress=False)
    html, row = predictor._repr_html_(), comparison.set_index("model").loc[predictor.model]
    values = dict(row for row in rows_of(html) if len(row) == 2)
    r2 = next(value for name, value in values.items() if name.startswith("R²"))
    assert r2 == f"{predictor.metrics['r2']:.3f} ({row['r2_low']:.3f} to {row['r2_high']:.3f})".replace("-", "−")
    assert values["90% interval: points to either side"] == f"{predictor.errors.half_width(.9):.1f}"
    assert any(name.startswith("ceiling") for name in values)


def test_a_predictor_without_ceiling_or_comparison_tells_the_rest():
    rows = load_students()
    predictor = fit_predictor(rows, "math", inputs=["lunch", "reading"], model="least squares")
    html = predictor._repr_html_()
    assert "ceiling" not in html and "nan" not in html
    assert "from lunch, reading." in html


def test_nothing_is_asked_of_another_host(table, schema):
    assert not re.search(r"https?:|url\(|@import|src=", Cohort.summarize(table, schema)._repr_html_().replace("&lt;img src", ""))
