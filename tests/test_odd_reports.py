"""Reports of odd tables: few rows, levels that look like code, constant, tiny, huge and uncounted scores, holes, one cluster."""
import re
from html import unescape

import numpy as np
import pandas as pd
import pytest

from studperf import Cohort, DataError, Schema
from studperf.reporting.report import report
from studperf.reporting.report_parts import interaction_parts, manova_part

LEVELS = ["<b>bold</b>", "A & B", "“q”", "it's", "Ünïcode", "日本", "1", "10", "True", "yes", "no", "none", "  pad", "a" * 60, "x|y", "{{7*7}}", "%s", "$\\alpha$", "-"]
SCORES = {"whole": lambda random, n: random.integers(0, 101, n), "twentieths": lambda random, n: random.integers(0, 21, n) / 20,
          "sevenths": lambda random, n: random.normal(60, 10, n) / 7, "constant": lambda random, n: np.full(n, 5),
          "ceiling": lambda random, n: np.minimum(100, random.normal(100, 10, n).round()), "huge": lambda random, n: random.integers(0, 10**9, n),
          "tiny": lambda random, n: random.normal(0, 1e-7, n)}


def odd_table(seed):
    "A table, its factors and its scores."
    random = np.random.default_rng(seed)
    n = int(random.choice([2, 5, 20, 60, 120, 300]))

    def with_holes(values):
        column = pd.Series(values, dtype=object)
        column[random.random(n) < random.choice([0, .05, .5])] = None
        return column

    factors = {name: with_holes(random.choice(random.choice(LEVELS, random.integers(1, 6), replace=False), n))
               for name in ["sex", 'group "x"', "lunch?"][:random.integers(1, 4)]}
    kinds = random.choice(list(SCORES), 3)
    scores = {name: with_holes(SCORES[kind](random, n)).astype(float) for name, kind in zip(["G3", "read <1>", "essay"], kinds, strict=True)}
    others = {"hours": random.normal(5, 2, n).round(1), "class": random.choice([f"class {i}" for i in range(random.choice([1, 4, 15]))], n)}
    return pd.DataFrame(factors | scores | others), list(factors), list(scores)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(9))
def test_a_report_is_made_or_the_error_says_why(seed, tmp_path):
    table, factors, scores = odd_table(seed)
    schema = Schema(factors, scores, covariates=["hours"] * (seed % 2), cluster="class" if seed % 3 == 0 else None)
    try:
        page = report(table, tmp_path / "report.html", schema=schema, min_n=(1, 3, 10)[seed % 3]).read_text(encoding="utf-8")
    except DataError as error:
        assert "there is nothing to compare" in str(error) or "has no rows" in str(error)
        return
    assert "<b>bold" not in page
    words = unescape(re.sub("<[^>]*>", " ", page.split("<main")[1].split("<script")[0]))
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b|\b1 (students|groups|scores|factors) |fewer than 1 ", words), words


@pytest.mark.parametrize("empty", [[None] * 30, [np.nan] * 30, [""] * 30])
def test_an_empty_column_is_left_out(empty):
    table = pd.DataFrame({"sex": ["girl", "boy", "girl"] * 10, "empty": empty, "mark": range(30)})
    schema = Schema.infer(table, scores=["mark"])
    assert list(schema.factors) == ["sex"] and "empty" in schema.left_out


def test_without_a_regression_nothing_is_said_of_interactions():
    """No score may have students with all factors."""
    assert interaction_parts(Cohort.summarize(), [], 10) == ([], [], [])


def test_scores_that_nobody_has_together_are_not_tested_together():
    half = pd.DataFrame({"sex": ["girl", "boy"] * 20, "math": [*range(20), *[None] * 20], "essay": [*[None] * 20, *range(20)]})
    sentences, tables = manova_part(Cohort.summarize(half, Schema(["sex"], ["math", "essay"])), ["math", "essay"])
    assert tables == [] and sentences[0].startswith("The scores could not be tested together: no student has a value in each of")
