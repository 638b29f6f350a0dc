"""The instruments of benchmarks/ measure the work that they say; their figures are in the docs, not here."""
from pathlib import Path

import pytest

from studperf import simulate_students
from studperf.models.candidates import candidate_models

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def battery(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import battery
    return battery


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "students.parquet"
    simulate_students(500, seed=4).to_parquet(path)
    return str(path)


def test_contenders_do_the_same_work(battery, path):
    import contenders

    seconds, expected = contenders.run(contenders.StudperfWithoutCounts(), path)
    assert list(seconds) == ["read", "compare", "pairs", "regress", "all", "cpu"]
    peer = contenders.Statsmodels()
    rows = peer.read(path)
    found = peer.compare(rows) | peer.regress(rows)
    battery.check("statsmodels", 500, found, expected)
    with pytest.raises(SystemExit, match="HC3 error of lunch in math is 9.0"):
        battery.check("statsmodels", 500, found | {"HC3 error of lunch in math": 9.0}, expected)


def test_a_process_is_measured(battery, path):
    answer, seconds, outcome = battery.measured("DuckDB's bare pass", Path(path), warm=2)
    lines = battery.summary("DuckDB's bare pass", 500, [(answer, seconds, outcome)], load=.5)
    assert [line["part"] for line in lines] == ["read", "all"] and outcome == "done"
    assert 0 < lines[-1]["seconds_inside"] < lines[-1]["seconds_process"] and lines[-1]["peak_mb"] > 20
    assert len(answer["seconds"]) == 2


def test_a_contender_that_takes_too_long_is_reported(battery, path, monkeypatch):
    monkeypatch.setattr(battery, "MOST_SECONDS", .01)
    found = battery.measurements("DuckDB's bare pass", 500, Path(path))
    assert battery.summary("DuckDB's bare pass", 500, found, load=.5) == [
        {"contender": "DuckDB's bare pass", "rows": 500, "part": "all", "runs": 1, "load": .5, "outcome": "stopped after 0 minutes"}]


def test_a_contender_that_fails_ends_the_run(battery, tmp_path):
    with pytest.raises(SystemExit, match="failed on absent.parquet"):
        battery.measured("DuckDB's bare pass", tmp_path / "absent.parquet", warm=0)


def test_files_of_students_are_made_once(battery, tmp_path):
    path = battery.students(50, tmp_path / "data")
    before = path.stat().st_mtime_ns
    assert battery.students(50, tmp_path / "data") == path and path.stat().st_mtime_ns == before
    assert len(path.read_text().splitlines()) == 51


def test_coverage_is_measured(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import interval_coverage as coverage

    fresh = simulate_students(coverage.FRESH, seed=10**6)
    sets = [coverage.one_set(seed, 300, "math", "all") for seed in (1, 2)]
    lines = coverage.summary(sets, 300, "math", "all", fresh)
    assert [(line["method"], line["level"]) for line in lines] == [
        (method, level) for method in ("studperf", "statsmodels") for level in (.8, .9, .95)]
    for line in lines:
        assert abs(line["coverage"] - line["level"]) < .05 and abs(line["width_ratio"] - 1) < .1
    expected, sd = coverage.truth(fresh, "math", "all")  # on its own students: the spread about the truth, but for rounding
    assert (fresh["math"] - expected)[fresh["math"] < 100].std() == pytest.approx(sd, rel=.02)


@pytest.fixture
def prediction(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import prediction
    return prediction


def test_the_benchmark_knows_the_models(prediction):
    assert [*prediction.BUILT_IN, *prediction.BOOSTED] == list(candidate_models())


def test_a_student_is_measured_and_both_ways_agree(prediction, tmp_path):
    path = prediction.students(200, tmp_path)
    (line, beside, tree) = prediction.said("one student", path=str(path), inputs="background", models=["least squares", "decision tree"], students=3)["lines"]
    assert (line["model"], line["peer"], beside["peer"], tree["model"]) == ("least squares", "the same pipeline", "scikit-learn's encoder", "decision tree")
    assert max(line["difference"], beside["difference"], tree["difference"]) < 1e-9 and 0 < line["microseconds"] < line["peer_microseconds"]
    assert "scikit-learn" in prediction.versions["studperf"]


def test_those_who_predict_a_file_write_the_same(prediction, tmp_path):
    train, predictor = prediction.students(200, tmp_path), str(tmp_path / "math.studperf")
    source = tmp_path / "more.parquet"
    simulate_students(500, seed=4).to_parquet(source)
    prediction.said("predictor", path=str(train), model="least squares", inputs="all", out=predictor)
    names = [name for name in prediction.FILE_CONTENDERS if name != "studperf on Dask"]  # its cluster is in tests/test_scoring.py
    found = {name: prediction.said(name, source=str(source), **({"predictor": predictor} if prediction.FILE_CONTENDERS[name] else {})) for name in names}
    expected = found["studperf"]["checks"]
    assert expected["rows"] == 500 and found["studperf"]["peak_mb"] > 20
    for name, answer in found.items():
        prediction.agree(name, 500, [answer], expected)
    with pytest.raises(SystemExit, match="peer, 500 rows: the sum of low is 1.0"):
        prediction.agree("peer", 500, [{"checks": expected | {"low": 1.0}}], expected)


def test_growth_is_told_and_what_is_left_out(prediction, tmp_path):
    path = str(prediction.students(200, tmp_path))
    lines = prediction.said("growth", path=path, model="support vectors", fitted=[100, 200, 10_000], predicted=[100, 200], most_seconds=60)["lines"]
    assert [(line["what"], line["rows"], line["outcome"]) for line in lines] == [
        ("fit", 100, "done"), ("fit", 200, "done"), ("fit", 10_000, "not meant for more than 5,000"), ("predict", 100, "done"), ("predict", 200, "done")]
    assert prediction.growth_power([(10, 3.0), (100, 300.0)]) == pytest.approx(2)
    assert prediction.shown("support vectors", lines)[0]["model"] == "support vectors"


def test_contenders_take_turns(prediction):
    order = []
    assert prediction.taking_turns(lambda name: order.append(name) or name, ["a", "b"], 3) == {"a": ["a"] * 3, "b": ["b"] * 3}
    assert order == ["a", "b", "b", "a", "a", "b"]


@pytest.fixture
def report_speed(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import report_speed
    return report_speed


def test_a_page_is_made_and_measured(report_speed, tmp_path, monkeypatch):
    monkeypatch.setattr(report_speed, "RESULTS", report_speed.HERE / "results" / f"{tmp_path.name}.csv")
    monkeypatch.setattr(report_speed, "RUNS", 1)
    path = report_speed.students(300, tmp_path)
    monkeypatch.setattr(report_speed, "CONTENDERS", {"studperf": report_speed.studperf})
    monkeypatch.setattr(report_speed, "measured", lambda name, path, one=report_speed.measured: one(name, path) | {"seconds_process": 9.0})
    (line,), versions = report_speed.lines_of(300, path)
    assert line["outcome"] == "done" and line["runs"] == 1 and line["seconds_process"] == 9 and versions["studperf"]
    assert 0 < line["seconds_cpu"] < 600 and line["peak_mb"] > 100 and .1 < line["page_mb"] < 3
    try:
        report_speed.save([line], versions)
        report_speed.save([line | {"rows": 200}, line | {"rows": 400}], versions)
        saved = list(report_speed.csv.DictReader(report_speed.RESULTS.read_text().splitlines()))
        assert [row["rows"] for row in saved] == ["200", "300", "400"] and list(saved[0]) == list(report_speed.COLUMNS)
    finally:
        for kind in (".csv", ".json"):
            report_speed.RESULTS.with_suffix(kind).unlink(missing_ok=True)


def test_a_profiler_that_is_not_installed_is_told(report_speed, monkeypatch, tmp_path):
    monkeypatch.setattr(report_speed, "ENVIRONMENTS", tmp_path)
    with pytest.raises(SystemExit, match="sweetviz is not installed in .*: make .venv-profiling/.installed"):
        report_speed.interpreter("sweetviz")
