"""The figures look as they did, nothing in them is cut off or covered, they tell their numbers in words, and show no small group.

The pictures in tests/baseline are what the figures of the embedded sample look like. After a change that is meant, look at the new
ones and keep them:

    python tests/test_figures.py --baseline
"""
import itertools
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.testing.compare import compare_images
from PIL import Image

import studperf
from studperf import Cohort, Schema
from studperf.reporting import canvas, figures_of_groups, figures_of_scores
from studperf.reporting.canvas import alt_of, caption_of

BASELINE = Path(__file__).with_name("baseline")
# Root mean square over all pixels, of 255. The same Matplotlib gives 0; a title that lacks a letter gives 1.9 or more, a label
# that moves gives 6 or more.
TOLERANCE = 1.0
SAMPLE = Cohort.summarize(joint=True)
COMPARED = pd.DataFrame({"model": ["least squares", "decision tree", "mean"], "r2": [.26, .21, -.01], "r2_low": [.18, .13, -.04],
                         "r2_high": [.34, .29, .02], "ceiling": .25})  # as `compare_models` gives it
PICTURES = {
    "distribution": lambda: studperf.plot_distribution(SAMPLE, "reading", "parental_education"),
    "distribution-overall": lambda: studperf.plot_distribution(SAMPLE, "writing"),
    "means": lambda: studperf.plot_means(SAMPLE, "math", ["lunch", "ethnicity"]),
    "gaps": lambda: studperf.plot_gaps(SAMPLE, "math"),
    "pairs": lambda: studperf.plot_pairs(SAMPLE, "math", "ethnicity"),
    "cells": lambda: figures_of_groups.plot_cells(SAMPLE, "math", "parental_education", "ethnicity", min_n=20),
    "interaction": lambda: studperf.plot_interaction(SAMPLE, "math", "parental_education", "lunch"),
    "trend": lambda: studperf.plot_trend(SAMPLE, "writing", "parental_education"),
    "ceiling": lambda: studperf.plot_ceiling(SAMPLE, "math", COMPARED),
    "correlations": lambda: studperf.plot_correlations(SAMPLE),
    "scores": lambda: figures_of_scores.plot_scores(SAMPLE, "reading", "math"),
    "missing": lambda: figures_of_scores.plot_missing(table_with_holes()),
}


@pytest.fixture(autouse=True)
def plain_style():
    with mpl.style.context("default"):
        yield
    plt.close("all")


def table_with_holes():
    rows = studperf.load_students()
    return Cohort.summarize(rows.assign(math=rows["math"].where(rows.index % 3 > 0), lunch=rows["lunch"].where(rows.index % 8 > 0)))


def save(ax, path):
    ax.figure.savefig(path, dpi=60)
    plt.close(ax.figure)


@pytest.mark.parametrize("name", PICTURES)
def test_a_figure_looks_as_it_did(name, artefacts):
    found, expected = artefacts / f"figure-{name}.png", BASELINE / f"{name}.png"
    save(PICTURES[name](), found)
    with Image.open(expected) as image:
        maker = image.info["Software"]
    difference = compare_images(str(expected), str(found), TOLERANCE)
    assert difference is None, (f"{difference}\nmade by {maker}, now Matplotlib {mpl.__version__}. If the change is meant: "
                                "python tests/test_figures.py --baseline")


def test_the_comparison_sees_a_label_that_moves(artefacts):
    ax, path = PICTURES["pairs"](), artefacts / "figure-moved.png"
    ax.xaxis.label.set_x(.97)
    save(ax, path)
    assert compare_images(str(BASELINE / "pairs.png"), str(path), TOLERANCE) is not None


def test_every_baseline_has_its_figure():
    assert {path.stem for path in BASELINE.glob("*.png") if "failed-diff" not in path.name} == set(PICTURES)


@cache
def hard_table(n=2000, levels=25, seed=0):
    """Long names, dollars, negative decimals, missing values, a level of three students."""
    random = np.random.default_rng(seed)
    ability = random.normal(-3, 5, n)
    forms = ["_under", "a", "7b with a rather long name of its own", "x$y$z", "of three"]
    places = ["River", "Lake", "Very Distant Mountain"]
    rows = pd.DataFrame({
        "the_school_that_the_pupil_attends": [f"Class {i} of the Lower Secondary School at the {places[i % 3]}" for i in random.integers(0, levels, n)],
        "price": random.choice(["$5 and $6", r"$\frac$"], n),
        "form": random.choice(forms[:4], n),
        **{f"result {i}": np.round(ability + random.normal(0, 4, n), 1) for i in range(8)}})
    rows.loc[:2, "form"] = "of three"
    rows.loc[random.random(n) < .3, "price"] = None
    rows.loc[random.random(n) < .1, "result 0"] = np.nan
    schema = Schema({"the_school_that_the_pupil_attends": None, "price": None, "form": forms}, [f"result {i}" for i in range(8)], ordered=["form"])
    return Cohort.summarize(rows, schema, joint=True)


def figures_of(cohort):
    """Every figure of a Cohort, by name."""
    score, several, factors = next(iter(cohort.schema.scores)), len(cohort.schema.scores) > 1, list(cohort.schema.factors)
    yield "overall", lambda: studperf.plot_distribution(cohort, score)
    yield "means", lambda: studperf.plot_means(cohort, score)
    yield "gaps", lambda: studperf.plot_gaps(cohort, score)
    yield "missing", lambda: figures_of_scores.plot_missing(cohort)
    yield "ceiling", lambda: studperf.plot_ceiling(cohort)
    if several:
        yield "correlations", lambda: studperf.plot_correlations(cohort)
        yield "scores", lambda: figures_of_scores.plot_scores(cohort, *list(cohort.schema.scores)[:2])
    for factor in factors:
        yield f"distribution {factor}", lambda factor=factor: studperf.plot_distribution(cohort, score, factor)
        yield f"pairs {factor}", lambda factor=factor: studperf.plot_pairs(cohort, score, factor)
        if factor in cohort.schema.ordered:
            yield f"trend {factor}", lambda factor=factor: studperf.plot_trend(cohort, score, factor)
    for first, second in itertools.permutations(factors, 2):
        if len(cohort.levels(second)) <= 6:
            yield f"cells {first} {second}", lambda first=first, second=second: figures_of_groups.plot_cells(cohort, score, first, second)
            yield f"interaction {first} {second}", lambda first=first, second=second: studperf.plot_interaction(cohort, score, first, second)


def simple(**columns):
    """A school's table of 400 pupils."""
    random = np.random.default_rng(1)
    rows = {"sex": random.choice(["f", "m"], 400), "essay": random.integers(0, 21, 400)}
    return pd.DataFrame(rows | {name: make(random) for name, make in columns.items()})


TABLES = {
    "sample": lambda: SAMPLE,
    "hard": hard_table,
    "one factor": lambda: Cohort.summarize(simple(), Schema(["sex"], {"essay": (0, 20)})),
    "sixty levels": lambda: Cohort.summarize(simple(room=lambda random: random.integers(1, 31, 400), seat=lambda random: random.integers(1, 31, 400)),
                                             Schema(["sex", "room", "seat"], ["essay"])),
    "a factor that another gives": lambda: Cohort.summarize(simple().assign(title=lambda rows: rows["sex"].map({"f": "Ms", "m": "Mr"})),
                                                            Schema(["sex", "title"], ["essay"])),
}


def texts_of(ax):
    """All texts that are seen."""
    hidden = [label for axis in (ax.xaxis, ax.yaxis) for label, at in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
              if not min(axis.get_view_interval()) - 1e-9 <= at <= max(axis.get_view_interval()) + 1e-9]
    return [text for text in ax.findobj(mpl.text.Text) if text.get_text() and text.get_visible() and text not in hidden and (ax.axison or text in ax.texts)]


class Seen(NamedTuple):
    """What a reader gets of a figure."""
    caption: str
    alt: str
    texts: list  # each with its box
    page: mpl.transforms.Bbox


PHONE = 390 / 96  # inches


@cache
def figures_seen(kind, width):
    """Every figure of a table, by name: drawn once, for all that is asked about it."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for module in (canvas, figures_of_groups, figures_of_scores):
            patch.setattr(module, "WIDTH", width)
        for name, draw in figures_of(TABLES[kind]()):
            ax = draw()
            ax.figure.canvas.draw()
            texts = [(text.get_text(), text.get_window_extent()) for text in texts_of(ax)]
            found[name] = Seen(caption_of(ax), alt_of(ax), texts, ax.figure.bbox.frozen())
            plt.close(ax.figure)
    return found


@pytest.mark.parametrize("kind, width", [*((kind, PHONE) for kind in TABLES), ("hard", canvas.WIDTH)])
def test_no_text_is_cut_off_or_covers_another(kind, width):
    faults = []
    for name, (_, _, texts, page) in figures_seen(kind, width).items():
        faults += [f"{name}: {text!r} is cut off" for text, box in texts
                   if box.x0 < page.x0 - 1 or box.y0 < page.y0 - 1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1]
        faults += [f"{name}: {one!r} covers {other!r}" for (one, a), (other, b) in itertools.combinations(texts, 2)
                   if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1.5]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("kind", TABLES)
def test_every_figure_tells_what_it_shows(kind):
    for name, (caption, alt, texts, _) in figures_seen(kind, PHONE).items():
        assert caption.endswith(".") and alt.endswith("."), name
        assert any(letter.isdigit() for letter in alt), name
        for text in (caption, alt, *(text for text, _ in texts)):
            assert "nan" not in text.replace("\u2212", "-").lower().split(), (name, text)


def test_texts_of_the_data_stand_as_they_are():
    labels = [label.get_text() for label in studperf.plot_means(hard_table(), "result 0").get_yticklabels()]
    assert any(label.startswith(r"$\frac$") for label in labels) and any(label.startswith("_under") for label in labels)
    legend = studperf.plot_interaction(hard_table(), "result 0", "price", "form").get_legend()
    assert {"_under", "x$y$z"} <= {text.get_text() for text in legend.get_texts()}


def test_no_small_group_is_drawn_or_told():
    for name, (caption, alt, texts, _) in figures_seen("hard", canvas.WIDTH).items():
        assert "of three" not in " ".join([caption, alt, *(text for text, _ in texts)]), name
        if name in ("means", "gaps", "distribution form", "trend form"):
            assert "1 group of fewer than 10 students is not shown." in caption, name


def test_the_numbers_told_are_those_of_the_tables():
    means = studperf.regress(SAMPLE, "math").means.query("weights == 'proportional'").set_index("level")["mean"]
    raw = studperf.describe(SAMPLE, "math", "lunch").set_index("level")["mean"]
    for level in ("standard", "free/reduced"):
        assert f"{level} {raw[level]:.1f} (adjusted {means[level]:.1f})" in alt_of(studperf.plot_gaps(SAMPLE, "math"))
    row = studperf.ceiling(SAMPLE, "math").iloc[0]
    assert f"ceiling {row['ceiling']:.1%} ({row['ci_low']:.1%} to {row['ci_high']:.1%})" in alt_of(studperf.plot_ceiling(SAMPLE))
    row = studperf.pairs(SAMPLE, "math", "lunch").iloc[0]
    told = f"{row['group_a']} minus {row['group_b']} {row['estimate']:.1f} ({row['ci_low']:.1f} to {row['ci_high']:.1f})"
    assert told.replace("-", "\u2212") in alt_of(studperf.plot_pairs(SAMPLE, "math", "lunch"))


def test_what_cannot_be_adjusted_is_drawn_raw_and_said():
    ax = studperf.plot_gaps(TABLES["a factor that another gives"](), "essay")
    assert "adjusted" not in alt_of(ax) and "Nothing is adjusted: too few combinations of groups occur together" in caption_of(ax)
    assert ax.get_legend() is None


def test_more_than_ten_levels_give_the_widest_pairs():
    ax = studperf.plot_pairs(hard_table(), "result 0", "the_school_that_the_pupil_attends")
    assert len(ax.get_yticks()) == 45 and "The 45 widest of 300 are shown." in caption_of(ax)
    table = studperf.pairs(hard_table(), "result 0", "the_school_that_the_pupil_attends")
    drawn = np.concatenate([line.get_xdata() for line in ax.lines[1:]])
    assert sorted(np.abs(drawn)) == pytest.approx(table["estimate"].abs().nlargest(45).sort_values().tolist())


def test_a_continuous_score_is_told_how_it_can_be_drawn():
    cohort = Cohort.summarize(simple(essay=lambda random: random.normal(0, 5, 400)), Schema(["sex"], ["essay"]))
    with pytest.raises(ValueError, match="continuous.*plot_means"):
        studperf.plot_distribution(cohort, "essay", "sex")
    studperf.plot_gaps(cohort, "essay")


def test_survey_weights_count_where_they_can():
    rows = studperf.load_students().assign(weight=np.arange(1000) % 5 + 1.0)
    cohort = Cohort.summarize(rows, Schema(studperf.STUDENTS.factors, studperf.STUDENTS.scores, weight="weight"))
    expected = np.average(rows["math"][rows["lunch"] == "standard"], weights=rows["weight"][rows["lunch"] == "standard"])
    for ax in (studperf.plot_means(cohort, "math"), studperf.plot_gaps(cohort, "math"), figures_of_groups.plot_cells(cohort, "math", "lunch", "gender")):
        assert ax.get_figure() is not None
    assert f"standard {expected:.1f} (adjusted" in alt_of(studperf.plot_gaps(cohort, "math"))
    with pytest.raises(ValueError, match="survey weights"):
        studperf.plot_pairs(cohort, "math", "lunch")


if __name__ == "__main__":
    if sys.argv[1:] != ["--baseline"]:
        sys.exit(__doc__)
    BASELINE.mkdir(exist_ok=True)
    with mpl.style.context("default"):
        for name, draw in PICTURES.items():
            save(draw(), BASELINE / f"{name}.png")
            print(f"tests/baseline/{name}.png")
