"""What everything that studperf writes to be shared gives away, in random schools: python benchmarks/disclosure.py [--schools 500]

Each school has small groups of every kind: levels of one student, factors that lie within others, missing values, lone scores,
covariates, clusters, weights. Each artefact is attacked twice: by `studperf.disclosure`, which knows what is in the file alone, and
with the rows known, where the question is which groups under ten the published numbers single out. The table says, for each artefact,
how many schools have one, the smallest group that can be computed, and how many students were found. Writes
benchmarks/results/disclosure.csv.
"""
import argparse
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from studperf import Cohort, DataError, Schema, audit, fit_predictor, model_card, report
from studperf.cohort.small_groups import without_small_groups
from studperf.cohort.what_follows import KNOWN, REST, follows_exactly, groups_asked
from studperf.dashboard.preparing import facts_of
from studperf.reporting.published import attribute_name, published
from studperf.reporting.disclosure import look_at_files

LEAST = 10
MODELS = ("least squares", "ridge", "partial pooling", "decision tree", "lasso", "elastic net")
RESULT = Path(__file__).parent / "results/disclosure.csv"


def random_school(seed: int) -> tuple[pd.DataFrame, Schema]:
    """A table of 12 to 400 students, full of small groups, and its Schema."""
    random = np.random.default_rng(seed)
    n = int(np.exp(random.uniform(np.log(12), np.log(400))))
    table, factors = pd.DataFrame(index=range(n)), []
    for place in range(int(random.integers(1, 5))):
        count = int(random.integers(2, 6))
        shares = random.dirichlet(np.full(count, random.choice([.4, 1., 4.])))
        values = random.choice([f"{'abcd'[place]}{level}" for level in range(count)], n, p=shares).astype(object)
        if random.random() < .5:  # students who are the only ones of their level
            lone = random.choice(n, int(random.integers(1, 3)), replace=False)
            values[lone] = [f"{'abcd'[place]}only{number}" for number in range(len(lone))]
        if random.random() < .4:
            values[random.choice(n, int(random.integers(1, max(n // 8, 2))), replace=False)] = None
        table[f"factor_{'abcd'[place]}"] = values
        factors.append(f"factor_{'abcd'[place]}")
    if len(factors) > 1 and random.random() < .3:  # nearly each level of the one lies within a level of the other
        within = table[factors[0]].map(lambda level: None if level is None else f"{level}{random.integers(0, 2)}")
        table[factors[1]] = within.where(pd.Series(random.random(n)) < .95, within.sample(frac=1, random_state=seed).to_numpy())
    scores = {"math": (0, 100), **({"essay": (0, 20)} if random.random() < .6 else {})}
    for name, (_, high) in scores.items():
        table[name] = random.normal(.6 * high, .15 * high, n).round().clip(0, high)
        if random.random() < .5:
            table.loc[random.choice(n, 1), name] = high  # a lone score
        if random.random() < .5:
            table.loc[random.choice(n, int(random.integers(1, max(n // 10, 2))), replace=False), name] = np.nan
    covariates = ["age"] if random.random() < .4 else []
    if covariates:
        table["age"] = random.integers(11, 19, n)
    cluster = "school" if random.random() < .2 else None
    if cluster:
        table["school"] = random.choice([f"s{number}" for number in range(int(random.integers(3, 9)))], n).astype(object)
    weight = "w" if random.random() < .15 else None
    if weight:
        table["w"] = random.gamma(2, 1, n).round(2) + .1
        table.loc[random.integers(n), "w"] = 500.
    return table, Schema({name: None for name in factors}, scores, covariates=covariates, cluster=cluster, weight=weight)


@contextmanager
def quick_reports(quick: bool):
    """Leave the part on predictions out of reports: it compares models, takes most of the time and names no group."""
    module = sys.modules["studperf.reporting.report"]
    whole = module.prediction_parts
    if quick:
        module.prediction_parts = lambda *_, **__: ([], [], [])
    try:
        yield
    finally:
        module.prediction_parts = whole


def artefacts(table: pd.DataFrame, schema: Schema, folder: Path, seed: int, notebook: bool):
    """Yield name, file and the cells that its numbers are of, for everything that is shared of a school."""
    random, everyone = np.random.default_rng(seed), Cohort.summarize(table, schema, joint=bool(seed % 2))
    everyone.suppress().save(folder / "shared.parquet")
    yield "Cohort after suppress", folder / "shared.parquet", everyone
    plain = schema.only([name for name in schema.columns if name != schema.weight])
    reduced = without_small_groups(Cohort.summarize(table, plain))
    try:
        with quick_reports(seed % 10 != 0):
            report(table, folder / "report.html", schema=plain, notebook=notebook)
        yield "report", folder / "report.html", reduced
        if notebook:
            yield "report notebook", folder / "report.ipynb", reduced
    except DataError:
        pass  # no score has ten values
    try:
        facts_of(table, schema=plain).save(folder / "facts.json")
        yield "prepared facts", folder / "facts.json", everyone
    except (DataError, ValueError):
        pass  # too few rows, or no level of ten
    there = [path for name in ("report.html", "shared.parquet", "facts.json") if (path := folder / name).exists()]
    for pair in combinations(there, 2):
        yield " and ".join(path.stem for path in pair) + " together", list(pair), None
    try:
        model = str(random.choice(MODELS))
        fitted = fit_predictor(table, "math", schema=plain, inputs=[*plain.factors, *plain.covariates], model=model, folds=3)
    except (DataError, ValueError):
        return
    fitted.save(folder / "math.studperf")
    yield "predictor", folder / "math.studperf", None
    for path in there:
        yield f"predictor and {path.stem} together", [folder / "math.studperf", path], None
    try:
        found = audit(fitted, table, schema=plain, folds=3)
    except DataError:
        found = None
    for form, name in (("html", "card.html"), ("markdown", "card.md")):
        (folder / name).write_text(model_card(fitted, found, form=form), encoding="utf-8")
        yield f"model card, {form}", folder / name, None


def found_with_rows(path: Path, cohort: Cohort) -> tuple[int, int]:
    """The students in groups under ten whose mean follows for someone who has the rows; numbers that are not of these rows."""
    cells = cohort.cells.reset_index(drop=True)
    keys = [*cohort.schema.factors, *([cohort.schema.cluster] if cohort.schema.cluster else [])]
    columns = {attribute_name(name): cells[name].astype(object).where(cells[name].notna(), "(no value)").astype(str) for name in keys}
    said, students, strange = published(path, LEAST), set(), 0
    shown = {name: {one.group[name] for one in said.stated if name in one.group} - {KNOWN, REST, "(no value)"} for name in columns}
    for of in dict.fromkeys(one.of for one in said.stated):
        if (score := of.removeprefix("errors of ")) not in cohort.schema.numeric:
            continue
        n, known, numbers = np.where(cohort.has(score), cells["n"], 0), [], []
        for one in said.stated:  # sizes say nothing new to someone who has the rows: only means do
            if one.of != of or not one.values or not set(one.group) - {"lacks"} <= set(columns) or "lacks" in one.group:
                continue
            row = np.ones(len(cells), bool)
            for name, value in one.group.items():
                row &= columns[name].isin(shown[name]) if value == KNOWN else (columns[name] == value)
            strange += round(float(row @ n)) != one.low
            if round(float(row @ n)) == one.low:
                known.append(row)
                numbers.append(one.low)
        if not known:
            continue
        occurs = n > 0
        known = np.array(known)[:, occurs].astype(np.int8)
        levels = [(columns[name] == value).to_numpy()[occurs] for name in columns for value in columns[name].unique()]
        pairs = [one & other for place, one in enumerate(levels) for other in levels[place + 1:]]
        asked = np.unique(np.vstack([groups_asked(known), np.array([*levels, *pairs]).astype(np.int8)]), axis=0)
        sizes = asked @ n[occurs]
        follows, _ = follows_exactly(asked, known, np.array(numbers))
        for group in asked[follows & (0 < sizes) & (sizes < LEAST)]:
            students |= {(of, int(cell)) for cell in np.flatnonzero(occurs)[group > 0]}
    return len(students), strange


def measured(seed: int, notebook: bool) -> list[dict]:
    """Attack everything that is shared of one school."""
    table, schema = random_school(seed)
    rows = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, path, cohort in artefacts(table, schema, Path(folder), seed, notebook):
            found = look_at_files(path if isinstance(path, list) else [path], least=LEAST, seconds=30)  # in this process, since one for each file takes an hour
            with_rows, strange = (0, 0) if cohort is None else found_with_rows(path, cohort)
            told = "; ".join(f"{one.of} {one.group} {one.tells} {one.fewest}" for one in found.findings.head(3).itertuples())
            stopped = [one for one in found.stopped if "pictures" not in one]
            rows.append({"seed": seed, "artefact": name, "numbers": found.numbers, "smallest": found.smallest, "with rows": with_rows,
                         "groups": len(found.findings), "not of these rows": strange, "stopped": "; ".join(stopped), "first": told})
    return rows


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per artefact."""
    return rows.groupby("artefact").agg(
        schools=("seed", "size"), numbers_read=("numbers", "sum"), smallest_group=("smallest", "min"),
        small_groups_computed=("groups", "sum"), small_groups_with_rows_known=("with rows", "sum"),
        schools_with_a_student_found=("seed", lambda seeds: int(((rows.loc[seeds.index, "groups"] > 0) | (rows.loc[seeds.index, "with rows"] > 0)).sum())),
        searches_cut_short=("stopped", lambda texts: int((texts != "").sum()))).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schools", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--notebooks", type=int, default=25, help="write a notebook with every so many reports, since each takes 10 s")
    parser.add_argument("--rows", type=Path, help="write what was found in each school, too")
    options = parser.parse_args()
    start, rows = time.perf_counter(), []
    for seed in range(options.first, options.first + options.schools):
        rows += measured(seed, bool(options.notebooks) and seed % options.notebooks == 0)
        if options.rows:
            pd.DataFrame(rows).to_csv(options.rows, index=False)
    table = summary(pd.DataFrame(rows))
    print(table.to_string(index=False))
    print(f"{options.schools} schools, {time.perf_counter() - start:.0f} s")
    if options.schools >= 500:
        table.to_csv(RESULT, index=False)


if __name__ == "__main__":
    main()
