"""Odds of reaching a mark agree with R, add up over Cohorts, and stop where no finite odds exist.

The values are in reference/odds_r.csv, made by the script beside it: glm, sandwich's vcovCL, and averages of predictions.
"""
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studperf.cohort.cohort import Cohort
from studperf.rows.reading import load_students
from studperf.rows.simulation import simulate_students
from studperf.statistics.odds import odds
from studperf.rows.schema import STUDENTS, Schema

REFERENCE = Path(__file__).parent / "reference"
BACKGROUND = {name: STUDENTS.factors[name] for name in ("gender", "parental_education", "lunch", "test_prep")}
SCORES = {"math": (0, 100), "reading": (0, 100)}
PLAIN = Schema(BACKGROUND, SCORES, ordered=["parental_education"], left_out=dict.fromkeys(["weight", "school"], "not used"))
BY_SCHOOL = Schema(BACKGROUND, SCORES, ordered=["parental_education"], cluster="school", left_out={"weight": "not used"})
MODELS = {"math": (PLAIN, "math", 65, None), "math by school": (BY_SCHOOL, "math", 65, None),
          "reading": (PLAIN, "reading", 72, ["lunch", "parental_education"])}


@pytest.fixture(scope="module")
def students():
    return pd.read_csv(REFERENCE / "adjust_students.csv", keep_default_na=False, na_values=[""])


@pytest.fixture(scope="module")
def theirs():
    table = pd.read_csv(REFERENCE / "odds_r.csv", keep_default_na=False)
    assert len(table) == 190
    return table.set_index(["model", "method", "term", "quantity"])["value"].sort_index()


@pytest.mark.parametrize("name", MODELS)
def test_agrees_with_r(students, theirs, name):
    schema, score, mark, factors = MODELS[name]
    model, r = odds(Cohort.summarize(students, schema), score, mark, factors, conf_level=.9), theirs[name]
    assert (model.n, model.counts.reached.sum()) == (r["fit", "", "n"], r["fit", "", "reached"])
    z = 1.6448536269514722
    for (factor, level), coef, error in zip(model.counts.labels, model.coef, np.sqrt(np.diag(model.cov)), strict=True):
        term = "(Intercept)" if factor == "intercept" else factor + level
        assert coef == pytest.approx(r["coefficients", term, "estimate"], rel=1e-8, abs=1e-9)
        assert error == pytest.approx(r["coefficients", term, "std_error"], rel=1e-8)
    for row in model.comparisons.itertuples():
        term = f"{row.factor}: {row.group_a}"
        assert row.estimate / 100 == pytest.approx(r["comparisons", term, "estimate"], rel=1e-8, abs=1e-10)
        assert (row.ci_high - row.ci_low) / 200 / z == pytest.approx(r["comparisons", term, "std_error"], rel=1e-7)
        coef, error = r["coefficients", row.factor + row.group_a, "estimate"], r["coefficients", row.factor + row.group_a, "std_error"]
        assert [row.effect, row.effect_low, row.effect_high] == pytest.approx(np.exp(coef + error * z * np.array([0, -1, 1])), rel=1e-7)
        assert row.statistic == pytest.approx(coef / error, rel=1e-7)
    for row in model.chances.itertuples():
        chance, error = (r["chances", f"{row.factor}: {row.level}", quantity] for quantity in ("estimate", "std_error"))
        assert row.chance / 100 == pytest.approx(chance, rel=1e-8)
        log_odds, margin = np.log(chance / (1 - chance)), z * error / chance / (1 - chance)
        limits = 1 / (1 + np.exp(-log_odds - margin * np.array([-1, 1])))
        assert [row.ci_low / 100, row.ci_high / 100] == pytest.approx(limits, rel=1e-7)
    for row in model.tests.itertuples():
        assert (row.statistic, row.df) == (pytest.approx(r["tests", row.factor, "statistic"], rel=1e-7), r["tests", row.factor, "df"])
        if name != "math by school":
            assert row.p_value == pytest.approx(r["tests", row.factor, "p_value"], rel=1e-6)
    checked = sum(name == model for model, *_ in theirs.index)
    assert checked == 2 + sum(len(r[part]) for part in ("coefficients", "comparisons", "chances", "tests"))


def test_two_cohorts_give_what_their_rows_give_together():
    rows = simulate_students(4000, seed=5)
    together = odds(Cohort.summarize(rows), "reading", 70)
    parts = odds(Cohort.summarize(rows.iloc[:1500]) + Cohort.summarize(rows.iloc[1500:]), "reading", 70)
    pd.testing.assert_frame_equal(together.comparisons, parts.comparisons)
    pd.testing.assert_frame_equal(together.tests, parts.tests)


def test_the_mark_itself_counts_as_reached():
    frame = pd.DataFrame({"class": ["7a"] * 4 + ["7b"] * 4, "test": [59, 60, 61, 60, 59, 59, 60, 58]})
    model = odds(Cohort.summarize(frame, Schema(["class"], {"test": (0, 100)})), "test", 60)
    assert model.chances["share"].tolist() == [75, 25]
    assert model.comparisons["effect"].item() == pytest.approx((1 / 3) / 3)
    assert model.comparisons["estimate"].item() == pytest.approx(-50)


def test_marks_between_the_scores_and_with_decimals():
    frame = pd.DataFrame({"class": ["7a"] * 6 + ["7b"] * 6, "test": [.1, .2, .3, .3, .4, .5] * 2})
    frame.loc[0, "test"] = .7
    cohort = Cohort.summarize(frame, Schema(["class"], {"test": (0, 1)}))
    assert odds(cohort, "test", .3).chances["share"].tolist() == pytest.approx([500 / 6, 400 / 6])
    assert odds(cohort, "test", .30001).chances["share"].tolist() == pytest.approx([50, 100 / 3])


def cohort_of(table):
    """A Cohort of students given as (class, house, scores)."""
    rows = [(one, two, score) for one, two, scores in table for score in scores]
    return Cohort.summarize(pd.DataFrame(rows, columns=["class", "house", "test"]), Schema(["class", "house"], {"test": (0, 100)}))


def test_infinite_odds_are_refused_for_a_level_and_for_a_combination():
    with pytest.raises(ValueError, match="infinite for class '7b' \\(none of them\\)"):
        odds(cohort_of([("7a", "red", [10, 90]), ("7a", "blue", [10, 90]), ("7b", "red", [10, 20]), ("7b", "blue", [5])]), "test", 50)
    # Each level has both, but the two factors together tell perfectly who reaches the mark in three of four groups.
    separated = [("7a", "red", [90, 95]), ("7a", "blue", [10, 90]), ("7b", "blue", [10, 20]), ("7b", "red", [10, 90])]
    assert odds(cohort_of([*separated[:1], ("7a", "red", [10]), *separated[1:]]), "test", 50).n == 9
    only_once = [("7a", "red", [90, 95]), ("7a", "blue", [10, 90]), ("7b", "blue", [10, 20])]
    with pytest.raises(ValueError, match="combinations of levels|infinite for"):
        odds(cohort_of(only_once), "test", 50)


@pytest.mark.parametrize(("change", "message"), [
    ({"mark": 101}, "Choose another mark: none of 1,000 students reach 101"),
    ({"score": "music"}, "music"), ({"factors": ["school"]}, "school"), ({"factors": []}, "Name one factor"),
    ({"conf_level": 95}, "conf_level"), ({"adjust": "tukey"}, "adjust"),
])
def test_wrong_questions_are_refused(change, message):
    asked = {"score": "math", "mark": 60} | change
    score, mark = asked.pop("score"), asked.pop("mark")
    with pytest.raises(ValueError, match=message):
        assert odds(Cohort.summarize(), score, mark, **asked).comparisons is None


def test_weights_and_continuous_scores_are_refused():
    weighted = load_students().assign(weight=1.5)
    with pytest.raises(ValueError, match="without weight"):
        odds(Cohort.summarize(weighted, Schema(STUDENTS.factors, STUDENTS.scores, weight="weight")), "math", 60)
    with pytest.raises(ValueError, match="no value counts"):
        odds(Cohort.summarize(load_students(), counts=False), "math", 60)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """200 tables of 400 students from a logistic truth: the coverage of odds ratio and marginal effect lies near 95%."""
    random, hits = np.random.default_rng(12), np.zeros(2)
    log_odds = {"a": 0.0, "b": .8}
    for _ in range(200):
        group, house = random.choice(["a", "b"], 400), random.choice(["x", "y"], 400)
        chance = 1 / (1 + np.exp(-(np.vectorize(log_odds.get)(group) - .3 + .5 * (house == "y"))))
        frame = pd.DataFrame({"group": group, "house": house, "test": np.where(random.random(400) < chance, 1, 0)})
        row = odds(Cohort.summarize(frame, Schema(["group", "house"], {"test": (0, 1)})), "test", 1).comparisons.iloc[0]
        share = (house == "y").mean()
        truth = sum(weight * (1 / (1 + np.exp(-(.8 + own))) - 1 / (1 + np.exp(-own))) for weight, own in ((share, .2), (1 - share, -.3)))
        hits += [row["effect_low"] <= np.exp(.8) <= row["effect_high"], row["ci_low"] <= 100 * truth <= row["ci_high"]]
    assert (hits / 200 > .91).all() and (hits / 200 < .985).all()
