"""benchmarks/calibration.py on a few cohorts: its quick ways give what the public functions give, and it sees what is off."""
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studperf import Cohort, simulate_students

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import calibration  # noqa: E402 (it stands in a folder of scripts)

SETTINGS = {setting.name: setting for setting in calibration.SETTINGS}


@pytest.fixture(scope="module")
def committed():
    return pd.read_csv(calibration.TABLE)


@pytest.mark.parametrize("name", SETTINGS)
def test_quick_cohorts_give_what_the_public_functions_give(name):
    setting = SETTINGS[name]
    sample = next(calibration.drawn(setting, setting.sizes[-1], 0))
    compared = calibration.check_results(sample, setting)
    if setting.several and not sample.weighted:
        calibration.check_games_howell(sample, setting)
    # Where nothing but `ceiling`, or `correlations`, is called, there is one result, or three.
    assert len(compared) >= {"crossed": 1, "independent residuals": 3}.get(name, 7)


def test_the_check_sees_a_wrong_moment(monkeypatch):
    setting = SETTINGS["no difference"]
    sample = next(calibration.drawn(setting, 60, 0))
    right, math = calibration.check(sample), sample.values["math"].copy()
    monkeypatch.setattr(calibration.Cohort, "summarize", lambda *_: right)
    math[0] += 1
    with pytest.raises(AssertionError):
        calibration.check(replace(sample, values=sample.values | {"math": math}))


def test_true_values_are_those_of_very_many_students():
    setting, rows = SETTINGS["truth"], simulate_students(400_000, seed=1)
    cohort = Cohort.summarize(rows)
    female, male = (rows.loc[rows["gender"] == level, "math"] for level in ("female", "male"))
    assert calibration.true_groups(setting, "math", "gender").mean == pytest.approx([female.mean(), male.mean()], abs=.15)
    u = stats.mannwhitneyu(female, male).statistic / len(female) / len(male)
    assert calibration.true_rank_biserial(setting, "math", "gender") == pytest.approx(2 * u - 1, abs=.008)
    for pair in (["math", "reading"], ["reading", "writing"]):
        assert calibration.true_correlation(setting, *pair) == pytest.approx(np.corrcoef(rows[pair].T)[0, 1], abs=.0015)
    coefficients = calibration.regress(cohort, "math").coefficients.set_index("term")["estimate"]
    assert calibration.true_coefficient(setting, "math", "ethnicity", "group E") == pytest.approx(coefficients["ethnicity: group E"], abs=.4)
    for row in calibration.correlations(cohort, given=list(calibration.NAMES)).itertuples():
        assert calibration.true_correlation(setting, row.score_a, row.score_b, partial=True) == pytest.approx(row.estimate, abs=.0015)
    assert calibration.true_shares(setting, "math") == pytest.approx(calibration.ceiling(cohort, "math")["ceiling"][0], abs=.005)


@pytest.mark.parametrize("gap", calibration.GAPS, ids="{0[1]}".format)
def test_true_parts_are_those_of_very_many_students_and_add_up(gap):
    setting, (score, factor, level) = SETTINGS["dependent factors"], gap
    rows = calibration.drawn_rows(setting, 300_000, np.random.default_rng(1))
    found = calibration.decompose(Cohort.summarize(rows), score, factor).set_index(["group_a", "part"])["estimate"][level]
    truth = calibration.true_parts(setting, score, factor, level)
    assert truth == pytest.approx(found.to_dict(), abs=.25)
    assert truth["explained"] > .9
    assert truth["raw"] == pytest.approx(truth["adjusted"] + truth["explained"], abs=1e-7)


def test_weights_undo_the_unequal_chances():
    setting = SETTINGS["unequal chances"]
    rows = calibration.drawn_rows(setting, 200_000, np.random.default_rng(1))
    weights = setting.weights[calibration.cells_of(rows), rows["math"]]
    truth = calibration.cell_shares(setting) @ calibration.cell_moments(setting, "math")[0]
    assert np.average(rows["math"], weights=weights) == pytest.approx(truth, abs=.2)
    assert rows["math"].mean() < truth - 5


def test_table_has_a_row_for_all_that_the_committed_one_has(committed):
    table = calibration.simulate(11, processes=1)
    keys = ["setting", "n", "method", "quantity"]
    assert list(table.columns) == list(committed.columns) == calibration.COLUMNS
    assert not table.duplicated(keys).any()
    both = table.merge(committed, on=keys, how="outer", indicator=True)
    assert both.loc[both["_merge"] != "both", keys].to_numpy().tolist() == []
    assert committed["cohorts"].min() > 500 and committed["rate"].notna().all()


def test_a_run_does_not_depend_on_the_processes():
    setting = [SETTINGS["20 schools"]]
    one, two = (calibration.simulate(102, processes, setting) for processes in (1, 2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_classical_t_is_found_out_where_spread_is_unequal_and_welch_is_not():
    setting = SETTINGS["unequal spread"]
    rates = {"classical t-test, lunch": [], "Welch's t-test, lunch": []}
    for block in range(10):
        for sample in calibration.drawn(setting, 300, block):
            for method, _, numbers in calibration.two_groups(sample, setting):
                if method in rates:
                    rates[method].append(numbers < .05)
    classical, welch = (np.mean(found) for found in rates.values())
    assert classical > .09 and welch == pytest.approx(.05, abs=3 * .0069)  # 1,000 cohorts


def test_bounds_are_one_sided_where_a_promise_is():
    sums = pd.DataFrame({"setting": "truth", "n": 60, "method": "m", "count": 10_000, "sum": [700., 300., 9000., 9900.],
                         "quantity": ["false positives, at most"] * 2 + ["coverage, at least"] * 2,
                         "nominal": [.05, .05, .95, .95]})
    table = calibration.finished(sums.assign(squares=sums["sum"]))
    assert table["within_bounds"].tolist() == [False, True, False, True]
    two_sided = calibration.finished(sums.assign(squares=sums["sum"], quantity=["false positives"] * 2 + ["coverage"] * 2))
    assert two_sided["within_bounds"].tolist() == [False] * 4
