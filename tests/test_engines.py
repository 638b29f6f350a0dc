"""Whoever holds the rows, the Cohort is the same to the last bit: lazy frames, a Dask cluster, Spark, PostgreSQL, chunks, files."""
import shutil
import subprocess
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy

from conftest import missing
from studperf import STUDENTS, Cohort, DataError, Schema, simulate_students

pytestmark = pytest.mark.usefixtures("files_by_duckdb")

TRACKED = Schema({**STUDENTS.factors, "grade": ["7", "8", "9"]}, {**STUDENTS.scores, "essay": (-5, 20)}, STUDENTS.ordered,
                 covariates=["age"], cluster="school", aliases=STUDENTS.aliases)


def untidy(n=3000, seed=5):
    """Rows with all that differs between engines: whole numbers as levels, missing levels and scores, half points."""
    random = np.random.default_rng(seed)
    rows = simulate_students(n, seed=seed).astype({name: "str" for name in STUDENTS.factors})
    rows["grade"] = random.integers(7, 10, n)
    rows["essay"] = random.integers(-10, 41, n) / 2
    rows["age"] = np.where(random.random(n) < .1, np.nan, random.integers(120, 200, n) / 10)
    rows["school"] = random.choice(["North", "South", "East", "West"], n)
    for name in ("lunch", "ethnicity", "school"):
        rows[name] = rows[name].where(random.random(n) > .05, None)
    for name in ("reading", "essay"):
        rows[name] = rows[name].where(random.random(n) > .05)
    return rows


@pytest.fixture(scope="module")
def rows():
    return untidy()


@pytest.fixture(scope="module")
def expected(rows):
    return Cohort.summarize(rows, TRACKED)


def test_the_rows_are_untidy(rows, expected):
    assert (expected.n, set(expected.levels("grade"))) == (3000, {"7", "8", "9"})
    assert expected.cells["missing"].nunique() > 4 and expected.cells["lunch"].isna().any()
    assert expected.scales["essay"].decimals == expected.scales["age"].decimals == 1
    assert all(expected.scales[name].discrete for name in TRACKED.scores)


def arrow(rows):
    return pa.Table.from_pandas(rows, preserve_index=False)


@pytest.mark.parametrize("given", [
    pytest.param(lambda rows: pl.from_arrow(arrow(rows)), id="polars"),
    pytest.param(lambda rows: pl.from_arrow(arrow(rows)).lazy(), id="polars lazy"),
    pytest.param(lambda rows: arrow(rows), id="pyarrow"),
    pytest.param(lambda rows: duckdb.from_arrow(arrow(rows)), id="DuckDB relation"),
    pytest.param(lambda rows: rows.astype({"lunch": "category", "grade": "float64"}), id="pandas categories"),
    pytest.param(lambda rows: pl.from_arrow(arrow(rows)).with_columns(pl.col("lunch").cast(pl.Categorical)).lazy(), id="polars lazy categories"),
    pytest.param(lambda rows: (rows[start:start + 700] for start in range(0, len(rows), 700)), id="chunks"),
    pytest.param(lambda rows: [rows[:1000], pl.from_arrow(arrow(rows[1000:])).lazy()], id="a list of chunks of two kinds"),
])
def test_frames(rows, expected, given):
    assert Cohort.summarize(given(rows), TRACKED) == expected


def test_files_of_several_kinds_and_forms(rows, expected, tmp_path):
    rows[:1000].to_parquet(tmp_path / "a.parquet")
    rows[1000:1500].to_parquet(tmp_path / "b.parquet")
    rows[1500:2200].rename(columns={"gender": "sex"}).to_csv(tmp_path / "c.csv", index=False)
    rows[2200:].astype({"grade": "float64"}).to_csv(tmp_path / "d.csv", index=False, sep=";")
    assert Cohort.summarize([tmp_path / "*.parquet", tmp_path / "*.csv"], TRACKED) == expected


def test_a_dask_cluster(rows, expected):
    import dask.dataframe
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster, Client(cluster):
        assert Cohort.summarize(dask.dataframe.from_pandas(rows, npartitions=4), TRACKED) == expected
        assert Cohort.summarize(dask.dataframe.from_pandas(rows.astype({"lunch": "category"}), npartitions=3), TRACKED) == expected


@pytest.fixture(scope="module")
def spark():
    if not shutil.which("java"):
        missing("no Java: Debian's openjdk-17-jre-headless")
    from pyspark.sql import SparkSession

    session = (SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").config("spark.driver.host", "127.0.0.1")
               .config("spark.driver.bindAddress", "127.0.0.1").config("spark.sql.shuffle.partitions", "2").getOrCreate())
    yield session
    session.stop()


@pytest.mark.slow
def test_spark(rows, expected, spark, tmp_path):
    rows.to_parquet(tmp_path / "rows.parquet")
    assert Cohort.summarize(spark.read.parquet(f"file://{tmp_path}/rows.parquet"), TRACKED) == expected


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """The address of a PostgreSQL server of our own, on a socket in a temporary folder and on no port."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        missing("no PostgreSQL: Debian's postgresql")
    folder = tmp_path_factory.mktemp("postgres")
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == folder.stat().st_uid and parent.is_relative_to(tmp_path_factory.getbasetemp().parent):
            parent.chmod(0o755)
    as_postgres = []
    if Path("/proc/self").stat().st_uid == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres")
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    run = [*as_postgres, programs[-1] / "pg_ctl", "-D", folder / "data", "-s"]
    subprocess.run([*as_postgres, programs[-1] / "initdb", "-D", folder / "data", "-U", "studperf", "-A", "trust", "-E", "UTF8"],
                   check=True, capture_output=True, cwd=folder)
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    subprocess.run([*run, "-w", "-l", folder / "log", "-o", options, "start"], check=True, cwd=folder, stdin=subprocess.DEVNULL)
    yield f"postgresql+psycopg://studperf@/postgres?host={folder}"
    subprocess.run([*run, "-m", "immediate", "stop"], check=True, cwd=folder)


@pytest.fixture(scope="module")
def database(postgres, rows):
    engine = sqlalchemy.create_engine(postgres)
    rows.to_sql("pupils", engine, index=False)
    yield engine
    engine.dispose()


def test_postgresql_sums_where_the_rows_are(rows, expected, postgres, database):
    assert Cohort.summarize("pupils", TRACKED, database=database) == expected
    assert Cohort.summarize("public.pupils", TRACKED, database=postgres) == expected
    some = Cohort.summarize("SELECT * FROM pupils WHERE grade = 7;", TRACKED, database=database)
    assert some == Cohort.summarize(rows[rows["grade"] == 7], TRACKED)
    table = sqlalchemy.Table("pupils", sqlalchemy.MetaData(), autoload_with=database)
    with database.connect() as connection:
        assert Cohort.summarize(table, TRACKED, database=connection) == expected
        assert Cohort.summarize(sqlalchemy.select(table), TRACKED, database=connection) == expected


def test_postgresql_reads_exact_types(database):
    with database.begin() as connection:
        connection.execute(sqlalchemy.text(
            "CREATE TABLE exact AS SELECT CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END AS class, (i / 4.0)::numeric(8, 2) AS essay, "
            "i::smallint AS exam, 1000000000 + i AS points FROM generate_series(1, 1000) AS i"))
    rows = pd.DataFrame({"i": np.arange(1, 1001)}).assign(
        **{"class": lambda frame: np.where(frame["i"] % 2 == 0, "a", "b"), "essay": lambda frame: frame["i"] / 4,
           "exam": lambda frame: frame["i"], "points": lambda frame: 10**9 + frame["i"]})
    schema = Schema(["class"], ["essay", "exam", "points"])
    assert Cohort.summarize("exact", schema, database=database) == Cohort.summarize(rows, schema)


def test_a_database_is_told_from_a_fault(database):
    with pytest.raises(DataError, match=r'column \'math\': found values from \d+ to 100, expected 0 to 50'):
        Cohort.summarize("pupils", Schema(["gender"], {"math": (0, 50)}), database=database)
    with pytest.raises(DataError, match=r"column 'lunch': found 'standard' \([\d,]+ rows\), expected one of 'free'"):
        Cohort.summarize("pupils", Schema({"lunch": ["free"]}, ["math"]), database=database)
    with pytest.raises(DataError, match="column 'physics': not found"):
        Cohort.summarize("pupils", Schema(["gender"], ["physics"]), database=database)
    with pytest.raises(DataError, match='relation "nobody" does not exist'):
        Cohort.summarize("nobody", STUDENTS, database=database)
    with pytest.raises(DataError, match="invalid input syntax"):
        Cohort.summarize("pupils", Schema(["gender"], ["lunch"]), database=database)


@pytest.mark.parametrize("source", ["frame", "lazy", "file"])
def test_weights_are_checked_and_summed_alike(rows, source, tmp_path):
    schema = Schema({"lunch": None}, {"math": (0, 100)}, weight="weight")
    weights = np.round(np.random.default_rng(1).uniform(.5, 3, len(rows)), 3)

    def give(frame):
        if source == "file":
            frame.to_parquet(tmp_path / "weighted.parquet")
        return {"frame": frame, "lazy": pl.from_arrow(arrow(frame)).lazy(), "file": tmp_path / "weighted.parquet"}[source]

    cohort = Cohort.summarize(give(rows.assign(weight=weights)), schema)
    present = rows["lunch"].notna()
    groups = cohort.moments(["math"], ["lunch"], power=1)
    for level, total, mean in zip(groups.keys["lunch"], groups.n, groups.mean[:, 0], strict=True):
        of_level = (rows["lunch"] == level) & present
        assert total == pytest.approx(weights[of_level].sum(), rel=1e-12)
        assert mean == pytest.approx(np.average(rows["math"][of_level], weights=weights[of_level]), rel=1e-12)
    assert cohort.moments(["math"], ["lunch"]).n.sum() == present.sum()
    for wrong in (-1.0, np.nan):
        with pytest.raises(DataError, match="weight"):
            Cohort.summarize(give(rows.assign(weight=np.where(np.arange(len(rows)) == 7, wrong, weights))), schema)


def test_weighted_cohorts_merge_and_can_be_saved(rows, tmp_path):
    schema = Schema({"lunch": None}, {"math": (0, 100), "essay": None}, weight="weight")
    rows = rows.assign(weight=np.random.default_rng(2).uniform(.5, 3, len(rows)), essay=rows["essay"] + np.pi)
    merged = Cohort.summarize(rows[:1000], schema) + Cohort.summarize(rows[1000:].assign(math=rows["math"][1000:].clip(upper=40)), schema)
    pooled = Cohort.summarize(rows.assign(math=rows["math"].where(np.arange(len(rows)) < 1000, rows["math"].clip(upper=40))), schema)
    for power in (0, 1, 2):
        ours, theirs = (cohort.moments(["math", "essay"], ["lunch"], power=power) for cohort in (merged, pooled))
        np.testing.assert_allclose(ours.n, theirs.n, rtol=1e-12)
        np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-12)
        np.testing.assert_allclose(ours.ss, theirs.ss, rtol=1e-9)
    merged.save(tmp_path / "weighted.parquet")
    assert Cohort.load(tmp_path / "weighted.parquet") == merged
    assert merged.suppress(min_n=10).n == merged.n


@pytest.mark.parametrize("n", [1, 3, 1000])
def test_sums_of_numbers_of_any_size_are_exact(n):
    """Values of up to 52 bits with a spread as large; engines add in 64 bits and would not say that they overflow."""
    random = np.random.default_rng(n)
    values = {name: random.integers(-2**52, 2**52, n) for name in ("essay", "exam")}
    schema = Schema(["class"], ["essay", "exam"])
    rows = pd.DataFrame({"class": ["7a", "7b"] * (n // 2) + ["7a"] * (n % 2), **values})
    cohort = Cohort.summarize(rows, schema)
    assert cohort == Cohort.summarize(pl.from_pandas(rows).lazy(), schema) == Cohort.summarize(duckdb.from_df(rows), schema)
    for a, b in (("essay", "essay"), ("essay", "exam"), ("exam", "exam")):
        exact = sum(int(x) * int(y) for x, y in zip(values[a], values[b], strict=True))
        assert sum(map(int, cohort.cells[f"sum of {a} x {b}"])) == exact


def test_memory_is_limited(tmp_path):
    """Forty million bytes hold neither the rows nor their parsed copy; DuckDB streams them, and says so when even that is too little."""
    rows = pd.concat([simulate_students(200_000, seed=1)] * 3)
    rows.to_csv(tmp_path / "many.csv", index=False)
    assert Cohort.summarize(tmp_path / "many.csv", memory_limit="300MB") == Cohort.summarize(rows)
    with pytest.raises(MemoryError, match="memory limit of 1MB"):
        Cohort.summarize(tmp_path / "many.csv", memory_limit="1MB")


def test_an_empty_iterator_and_an_empty_frame_are_told():
    with pytest.raises(DataError, match="it gave no chunk"):
        Cohort.summarize(iter([]))
    with pytest.raises(FileNotFoundError, match="no file given"):
        Cohort.summarize([])
    with pytest.raises(DataError, match="no rows"):
        Cohort.summarize(pl.from_pandas(simulate_students(3)).filter(pl.col("math") > 200).lazy())
    with pytest.raises(TypeError):
        Cohort.summarize(5)
