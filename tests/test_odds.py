"""Odds of reaching a mark agree with R, add up over Cohorts, and stop where no finite odds exist.

The values are in reference/odds_r.csv, made by the script beside it: glm, sandwich's vcovCL, and averages of predictions.
"""
import warnings
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy.stats import studentized_range

from studperf.cohort.cohort import Cohort
from studperf.rows.reading import load_students
from studperf.rows.simulation import simulate_students
from studperf.rows.schema import STUDENTS, Schema
from studperf.rows.values import DataWarning
from studperf.statistics.odds import odds

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
    for times, message in ((4, "infinite for class '7b' \\(none of them\\)"), (1, "in some levels or combinations of levels all students or none reach")):
        table = [("7a", "red", 5 * [10, 90]), ("7a", "blue", 5 * [10, 90]), ("7b", "red", times * [10, 20]), ("7b", "blue", times * [5])]
        with pytest.raises(ValueError, match=message) as raised:  # which names no class of three students
            odds(cohort_of(table), "test", 50)
    assert "7b" not in str(raised.value)
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


def by_rows(rows, score, mark, factors):
    """What a fit of the rows gives: chances by level, and for every two levels difference, its error, and log odds with theirs."""
    known = rows.dropna(subset=[score, *factors])
    terms = " + ".join(f"C(Q({factor!r}))" for factor in factors)
    fit = smf.logit(f"reached ~ {terms}", known.assign(reached=(known[score] >= mark).astype(int))).fit(disp=False, tol=1e-14)
    matrix, names = fit.model.exog, fit.model.exog_names
    chances, pairs = {}, {}
    for factor in factors:
        levels = sorted(known[factor].unique())
        own = [f"C(Q({factor!r}))[T.{level}]" for level in levels]
        gradients, columns = {}, {}
        for level, name in zip(levels, own, strict=True):
            moved = matrix.copy()
            moved[:, [names.index(other) for other in own if other in names]] = 0
            if name in names:
                moved[:, names.index(name)] = 1
            chance = 1 / (1 + np.exp(-moved @ fit.params.to_numpy()))
            chances[factor, level] = 100 * chance.mean()
            gradients[level] = 100 * (chance * (1 - chance)) @ moved / len(moved)
            columns[level] = np.array([float(name == other) for other in names])
        for high, low in permutations(levels, 2):
            gradient, weights = gradients[high] - gradients[low], columns[high] - columns[low]
            cov = fit.cov_params().to_numpy()
            pairs[factor, high, low] = (chances[factor, high] - chances[factor, low], np.sqrt(gradient @ cov @ gradient),
                                        weights @ fit.params.to_numpy(), np.sqrt(weights @ cov @ weights), len(levels))
    return fit, chances, pairs


def test_every_pair_agrees_with_a_fit_of_rows_with_missing_values(students):
    random = np.random.default_rng(3)
    rows = students.drop(columns=["weight", "school"])
    rows = rows.mask(pd.DataFrame({name: random.random(len(rows)) < (.05 if name in BACKGROUND else .02) for name in rows}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        model = odds(rows, "math", 65, schema=PLAIN.only([*BACKGROUND, "math", "reading"]))
    fit, chances, pairs = by_rows(rows, "math", 65, list(BACKGROUND))
    assert model.n == fit.nobs
    assert {(row.factor, row.level): row.chance for row in model.chances.itertuples()} == pytest.approx(chances, rel=1e-8)
    assert len(model.pairs()) == len(pairs) / 2
    for row in model.pairs().itertuples():
        estimate, error, log_odds, log_error, k = pairs[row.factor, row.group_a, row.group_b]
        wide = studentized_range.isf(.05, k, np.inf) / np.sqrt(2)
        assert [row.estimate, row.ci_low, row.ci_high] == pytest.approx([estimate, estimate - wide * error, estimate + wide * error], rel=1e-6)
        limits = np.exp(log_odds + wide * log_error * np.array([0, -1, 1]))
        assert [row.effect, row.effect_low, row.effect_high] == pytest.approx(limits, rel=1e-6)
        assert row.p_value == pytest.approx(studentized_range.sf(abs(log_odds / log_error) * np.sqrt(2), k, np.inf), abs=1e-9)
    for row in model.widest().itertuples():
        widest = max(values[0] for (factor, *_), values in pairs.items() if factor == row.factor)
        assert row.estimate == pytest.approx(widest, rel=1e-8) and row.effect == pytest.approx(np.exp(pairs[row.factor, row.group_a, row.group_b][2]))


def test_pairs_of_two_levels_are_the_comparison_with_the_first():
    model = odds(load_students(), "math", 60, "lunch")
    columns = ["estimate", "ci_low", "ci_high", "statistic", "p_value", "effect", "effect_low", "effect_high"]
    one, other = model.comparisons.iloc[0], model.pairs("lunch").iloc[0]
    turned = [-other["estimate"], -other["ci_high"], -other["ci_low"], -other["statistic"], other["p_value"],
              1 / other["effect"], 1 / other["effect_high"], 1 / other["effect_low"]]
    assert turned == pytest.approx(one[columns].tolist(), rel=1e-6)
    with pytest.raises(ValueError, match="no factor 'gender'; the model has 'lunch'"):
        model.pairs("gender")


def test_rows_a_cohort_and_its_file_give_the_same(tmp_path):
    cohort = Cohort.summarize()
    cohort.save(tmp_path / "cohort.parquet")
    one, *others = (odds(source, "math", 60, ["lunch", "gender"]).comparisons
                    for source in (cohort, load_students(), str(tmp_path / "cohort.parquet")))
    for other in others:
        pd.testing.assert_frame_equal(one, other)
    with pytest.warns(DataWarning):
        drafted = odds(pd.DataFrame({"form": ["7a", "7b"] * 20, "points": [3, 5, 2, 4, 1] * 8}), "points", 3, "form")
    assert list(drafted.counts.levels) == ["form"]


@pytest.mark.parametrize("mark", ["60", None, float("nan")])
def test_a_mark_is_a_number(mark):
    with pytest.raises(ValueError, match="expected a number of points"):
        odds(Cohort.summarize(), "math", mark)


def test_nothing_of_small_groups_is_displayed():
    frame = pd.DataFrame({"class": ["7a"] * 40 + ["7b"] * 40 + ["the seven"] * 7, "sex": ["f", "m"] * 43 + ["f"],
                          "test": ([59, 60, 61, 60, 59, 59, 61, 58, 63, 57, 60] * 8)[:87]})
    model = odds(frame, "test", 60, schema=Schema(["class", "sex"], {"test": (0, 100)}))
    page = model._repr_html_()
    row = model.comparisons.set_index("group_a").loc["the seven"]
    assert "fewer than 10 students" in page and "87 students" in page
    for number in (f"{row['estimate']:.1f}", f"{row['effect']:.2f}", f"{row['effect_low']:.2f}", ">7<", " 7 ", " 40 "):
        assert number.replace("-", "−") not in page
    assert "[" not in repr(model.counts) and "the seven" not in repr(model)
    widest, every = (model.widest(min_n).set_index("factor").loc["class", ["group_a", "group_b"]].tolist() for min_n in (10, 7))
    assert sorted(widest) == ["7a", "7b"]
    assert sorted(every) == sorted(model.pairs("class").set_index(["group_a", "group_b"])["estimate"].abs().idxmax())
    few = odds(frame.iloc[[0, 1, 2, 40, 41, 42]], "test", 60, "class", schema=Schema(["class"], {"test": (0, 100)}))
    assert repr(few) == "OddsModel of test >= 60 on class: fewer than 10 students" and "%" not in few._repr_html_().split("reach it")[0].split("</style>")[1].split("Differences")[0]
