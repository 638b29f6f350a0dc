"""Random tables: what a report says in words, shows in its figure and lists in its tables is the same.

Each table is read as a person reads the page: the sentences are taken apart by their words, the numbers by what is printed. Nothing
here looks at how they were made. STUDPERF_TABLES=1000 looks at as many.
"""
import os
import re
import warnings

import numpy as np
import pandas as pd
import pytest

from studperf import Cohort, Schema
from studperf.cohort.small_groups import reported_scores, without_small_groups
from studperf.reporting import report as page
from studperf.reporting.conclusions import compared_students, concluded, students_sentences
from studperf.reporting.figures_of_groups import forest_rows
from studperf.reporting.report_parts import answer_words, fitted, gaps_part
from studperf.rows.values import DataError
from studperf.statistics.ceiling import CEILING_COLUMNS

TABLES = int(os.environ.get("STUDPERF_TABLES", "200"))
WHOLE = 5  # every fifth has its whole report read, the others what comes first: words, figure and table
NO_CEILING = pd.DataFrame(columns=CEILING_COLUMNS)
NUMBER = r"−?\d[\d,]*\.\d+"
GROUP = r"(?:the “([^”]+)” group|“([^”]+)”)"


def random_table(seed):
    """Return rows and a Schema: one to three factors, one or two scores; perhaps missing values, clusters, small groups, real differences."""
    random = np.random.default_rng(seed)
    n, columns, levels = int(random.integers(30, 160)), {}, {}
    for place in range(random.integers(1, 4)):
        name, count = f"f{place}", int(random.integers(2, 5))
        shares = random.dirichlet(np.full(count, random.choice([.7, 5.])))
        levels[name] = [f"{name}{'abcd'[i]}" for i in range(count)]
        columns[name] = random.choice(levels[name], n, p=shares)
    rows = pd.DataFrame(columns)
    first = next(iter(levels))
    if len(levels) > 1 and random.random() < .5:  # factors that go together, so that adjusting matters
        same = random.random(n) < .7
        rows.loc[same, "f1"] = [levels["f1"][levels[first].index(level) % len(levels["f1"])] for level in rows.loc[same, first]]
    clusters = int(random.integers(2, 30)) if random.random() < .4 else 0
    school = random.integers(0, max(clusters, 1), n)
    size = random.choice([0, .5, 1.2])
    scores = {}
    for name in ["math", "essay"][:random.integers(1, 3)]:
        value = random.normal(0, 1, n) + (random.normal(0, .6, max(clusters, 1))[school] if clusters else 0)
        for factor, names in levels.items():
            value = value + size * pd.Series(random.normal(0, 1, len(names)), names)[rows[factor]].to_numpy()
        scores[name] = np.round(60 + 12 * value) if random.random() < .8 else np.round(2.5 + .5 * value, 2)
    rows = rows.assign(**scores)
    if random.random() < .5:  # missing values, of all columns alike or of one factor most of all
        share = random.choice([.03, .15])
        holes = random.random(rows.shape) < share
        if random.random() < .3:
            holes[:, 0] |= random.random(n) < .5
        rows = rows.mask(holes)
    if clusters:
        rows["school"] = [f"s{number}" for number in school]
    return rows, Schema(list(levels), list(scores), cluster="school" if clusters else None)


@pytest.fixture
def quick(monkeypatch):
    """Leave out of the report what says nothing of differences between groups and takes long."""
    for name in ("prediction_parts", "interaction_parts"):
        monkeypatch.setattr(page, name, lambda *given, **options: ([], [], []))
    monkeypatch.setattr(page, "manova_part", lambda *given, **options: ([], []))
    for name in ("mean_rows", "missing_rows"):
        monkeypatch.setattr(page, name, lambda *given, **options: None)
    monkeypatch.setattr(page, "intervals_part", lambda rows: rows)
    monkeypatch.setattr("studperf.reporting.report_parts.strips_part", lambda *given, **options: {"title": ""})


def number(text):
    return float(text.replace("−", "-").replace(",", ""))


def table_rows(part):
    """Return the rows of a table as they are printed: heading, without the spaces that tell headings apart, to text."""
    return [dict(zip(part["headings"], row, strict=True)) for row in part["rows"]]


def excludes_0(low, high):
    """Say whether a reader sees an interval that holds 0."""
    return not number(low) <= 0 <= number(high)


def is_below(p):
    return p.startswith("<") or float(p.removeprefix("> ")) < .05


def gaps_shown(content):
    """Return what the table of all gaps prints: (score, factor, kind) to groups, students, gap, from, to and p."""
    found = {}
    for row in table_rows(content["answer_tables"][0]):
        kinds = {"raw": ("Groups", "Students", "Gap", "from", "to", "p"),
                 "adjusted": ("Groups, adjusted", "Students ", "Adjusted gap", "from ", "to ", "p ")}
        for kind, names in kinds.items():
            groups, students, gap, low, high, p = (row.get(name) for name in names)
            if gap not in (None, "–"):
                found[row["Score"], row["Factor"], kind] = (groups or row["Groups"], students or row.get("Students"), gap, low, high, p)
    return found


def of_groups(high, low):
    return f"{high} – {low}"


def said_in_a_bullet(title, text):
    """Yield what the first lines say of a factor: (score, factor, kind), groups, gap, from, to, is it called chance?"""
    for part in re.split(r"(?<=\))\. ", text.rstrip(".")):
        groups = re.match(f"{GROUP} scores higher than {GROUP}, by ", part, re.IGNORECASE)
        if not groups:
            assert "no gap is known" in part, part
            continue
        pair, scores = of_groups(groups[1] or groups[2], groups[3] or groups[4]), []
        as_it_is, _, adjusted = part.partition("; adjusted, by ")
        for gap, score, low, high, chance in re.findall(rf"({NUMBER}) points? in (\w+) \(({NUMBER}) to ({NUMBER})(, which chance)?", as_it_is):
            scores.append(score)
            yield (score, title, "raw"), pair, gap, low, high, bool(chance)
        found = re.findall(rf"({NUMBER}) \((?:“([^”]+)” above “([^”]+)”, )?({NUMBER}) to ({NUMBER})(, which chance)?|(unknown) in|\(unknown\)", adjusted)
        for score, (gap, first, second, low, high, chance, _unknown) in zip(scores if found else [], found, strict=True):
            if gap:
                yield (score, title, "adjusted"), of_groups(first, second) if first else pair, gap, low, high, bool(chance)


def check_the_first_lines(content, shown, alone):
    """The gaps named beyond chance are those whose printed interval excludes 0, with the numbers of the table."""
    answer, kind = content["answer"], "raw" if alone else "adjusted"
    named = set()
    for title, text in answer["gaps"]:
        for place, pair, gap, low, high, chance in said_in_a_bullet(title.lower(), text):
            assert shown[place][0] == pair and shown[place][2:5] == (gap, low, high), (place, text, shown[place])
            assert chance == (not excludes_0(low, high)), text
            named.add(place[:2])
    beyond = {place[:2] for place, row in shown.items() if place[2] == kind and row[3] != "–" and excludes_0(*row[3:5])}
    assert named == beyond, (named, beyond, answer)
    assert bool(answer["gaps"]) == bool(beyond)
    assert ("differ beyond chance" in answer["lead"]) == bool(beyond), answer["lead"]
    # What is said to be beyond chance only as it is, or not at all.
    more = answer["more"]
    within = re.search(r"The data show no difference beyond chance[^.]*? for (.*?\))\.(?: |$)", more)
    for factor, said in re.findall(r"(f\d) \(could still be up to (.*?)\)", within[1] if within else ""):
        of = dict((score or next(iter(shown))[0], number(largest))
                  for largest, score in re.findall(rf"({NUMBER}) points?(?: in ([a-z]+))?", said))
        for score, largest in of.items():
            for own in ("raw", "adjusted"):
                row = shown.get((score, factor, own))
                if row and row[3] != "–":
                    assert not excludes_0(*row[3:5]), (score, factor, more)
                    assert own != kind or largest >= max(number(row[4]), -number(row[3])) - 1e-9, more
    only = more.partition("Only as they are, these groups differ beyond chance;")[2].partition("Could not be tested")[0]
    for title, text in re.findall(r"(?:explain it|\)|known)\. (F\d): (.*?\))\.(?= |$)", only):
        for place, pair, gap, low, high, chance in said_in_a_bullet(title.lower(), text):
            assert shown[place][0] == pair and shown[place][2:5] == (gap, low, high), (place, more)
            assert excludes_0(low, high) and not chance and not excludes_0(*shown[place[0], place[1], "adjusted"][3:5]), more
    if answer["lead"].startswith("The data show no difference"):
        assert not any(row[3] != "–" and excludes_0(*row[3:5]) for row in shown.values()), (answer, shown)


def check_the_figure(content, shown):
    """The figure's marks have the numbers of the table."""
    figure = content["answer_figures"][0]
    drawn = 0
    for mark, kind in (("dot", "raw"), ("diamond", "adjusted")):
        for score, factor, (estimate, low, high) in zip(figure.headings, figure.labels, figure.marks[mark].to_numpy(), strict=True):
            row = shown.get((score.lower(), factor, kind))
            assert (row is None) == bool(np.isnan(estimate))
            if row is not None:
                drawn += 1
                for value, text in zip((estimate, low, high), row[2:5], strict=True):
                    assert np.isnan(value) if text == "–" else abs(value - number(text)) <= .5001 * 10.0 ** -len(text.partition(".")[2]), (row, estimate)
    assert drawn == len(shown)


def check_a_factor(part, shown, alone):
    """The section of a factor says and lists what the first lines do."""
    factor = part["title"].lower()
    pairs = [row for table in part["tables"] for row in table_rows(table) if "compared with" in row]
    of_two = not any("omega²" in table["headings"] for table in part["tables"]) and all(
        sum(row["Score"] == score for row in pairs) < 2 for score in {row["Score"] for row in pairs})
    listed = {(row["Score"], of_groups(row["Group"], row["compared with"])): row for row in pairs if row["from"] != "–"}
    for row in listed.values():
        assert excludes_0(row["from"], row["to"]) == is_below(row["p (adjusted)"]), row
    for sentence in part["sentences"]:
        score = re.match(r"In (\w+), ", sentence)[1]
        gap, text = shown.get((score, factor, "raw")), re.split("(?=Among students who|The gap in)", sentence)[0]
        if "could not be compared" in text:
            assert gap is None or gap[3] == "–", (sentence, gap)
            continue
        own = {pair: row for (name, pair), row in listed.items() if name == score}
        clear = {pair for pair, row in own.items() if excludes_0(row["from"], row["to"])}
        assert ("no difference beyond chance" in text) == (not clear) == (not excludes_0(*gap[3:5])), (sentence, own, gap)
        row = own[gap[0]]  # the pair of the first lines is listed, with the same numbers
        assert (row["Difference"], row["from"], row["to"], row["p (adjusted)"]) == gap[2:], (row, gap)
        if clear:
            high, low = re.search(rf"{GROUP} scores {NUMBER}", text), re.search(rf"higher (?:on average )?than {GROUP}", text)
            assert of_groups(high[1] or high[2], low[1] or low[2]) == gap[0], (text, gap)
            assert re.search(rf"scores ({NUMBER}) points?", text)[1] == gap[2]
            assert re.search(rf"interval ({NUMBER}) to ({NUMBER})", text).groups() == gap[3:5], (text, gap)
            if not of_two and (counted := re.search(r"(\d+) of the (\d+) pairs", text)):
                assert int(counted[1]) == len(clear), (text, own)
        said = re.search(rf"{GROUP} scores ({NUMBER}) points? higher in \w+ than {GROUP}.*?interval ({NUMBER}) to ({NUMBER})\)(, which chance)?", sentence[len(text):])
        adjusted = shown.get((score, factor, "adjusted"))
        assert bool(said) == bool(adjusted and adjusted[3] != "–") or "interval unknown" in sentence, (sentence, adjusted)
        if said:
            assert (of_groups(said[1] or said[2], said[4] or said[5]), said[3], said[6], said[7]) == (adjusted[0], *adjusted[2:5]), (sentence, adjusted)
            assert bool(said[8]) == (not excludes_0(*adjusted[3:5])), sentence


def check_the_students(content, shown):
    """Raw and adjusted gaps are of the same students, unless the report says that they are not."""
    text = " ".join(content["data"])
    for (score, factor, kind), row in shown.items():
        other = shown.get((score, factor, "raw"))
        if kind == "adjusted" and other and row[1] != other[1]:
            assert re.search(rf"Few students .*{score} \({row[1]} of ", text), (row, other, text)
        said = re.search(r"All differences in ([\w ]+) are of the ([\d,]+) of", text)
        if said and score in said[1].split(" and ") and "Few students" not in text:
            assert row[1] == said[2], (row, text)


def check_p_values(shown):
    """An adjusted p-value is printed below .05 exactly where the printed interval excludes 0."""
    for place, (_, _, _, low, high, p) in shown.items():
        if low != "–":
            assert is_below(p) == excludes_0(low, high), (place, shown[place])


def first_part(cohort, min_n):
    """Return what comes first in a report, without the sections of factors."""
    scores, cohort = reported_scores(cohort, min_n), without_small_groups(cohort, min_n)
    students = compared_students(cohort, scores, min_n)
    regressions, _ = fitted(students)
    found = concluded(students, regressions)
    known = found.gaps["gap"].notna().any()
    return {"answer": answer_words(found.gaps, NO_CEILING, {}), "answer_tables": [gaps_part(found.gaps)],
            "answer_figures": [forest_rows(found.gaps)] if known else [], "factors": [],
            "data": students_sentences(cohort, students, regressions)}


def check(rows, schema, min_n, whole):
    cohort = Cohort.summarize(rows, schema)
    content = page.report_content(cohort, title="", source="a table", min_n=min_n) if whole else first_part(cohort, min_n)
    if not content["answer_figures"]:
        return "nothing to compare"
    shown = gaps_shown(content)
    alone = not any(kind == "adjusted" for _, _, kind in shown)
    check_p_values(shown)
    check_the_first_lines(content, shown, alone)
    check_the_figure(content, shown)
    check_the_students(content, shown)
    for part in content["factors"]:
        check_a_factor(part, shown, alone)
    return "beyond" if content["answer"]["gaps"] else "within"


@pytest.mark.parametrize("part", range(4))
def test_words_figures_and_tables_say_the_same(quick, part):
    outcomes = dict.fromkeys(("beyond", "within", "nothing to compare"), 0)
    for seed in range(part * TABLES // 4, (part + 1) * TABLES // 4):
        rows, schema = random_table(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                outcomes[check(rows, schema, [3, 10][seed % 3 % 2], whole=seed % WHOLE == 0)] += 1
            except DataError:  # no score that enough students have
                outcomes["nothing to compare"] += 1
            except AssertionError as error:
                raise AssertionError(f"table {seed}: {error}") from error
    assert min(outcomes["beyond"], outcomes["within"]) > TABLES // 40, outcomes  # both kinds of answers were looked at
