"""Reports of tables of any shape: without groups, with one score or sixty, with many columns; the page's parts, its pictures, its summary."""
import re
import warnings
from html import unescape
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from conftest import violations
from playwright.sync_api import expect
from scipy.stats import pearsonr

from studperf import Cohort, DataError, Schema, report


def table(n=300, seed=0, scores=2):
    random = np.random.default_rng(seed)
    ability = random.normal(0, 1, n)
    rows = {f"score {i}": (50 + 10 * (.7 * ability + .7 * random.normal(0, 1, n))).round().clip(0, 100) for i in range(scores)}
    return pd.DataFrame({"sex": random.choice(["girl", "boy"], n), "class": random.choice(["7a", "7b", "7c"], n),
                         "age": random.integers(12, 16, n), "hours": 3 + ability + random.normal(0, 1, n)} | rows)


def scores_of(rows):
    return [name for name in rows if name.startswith("score")]


def page_of(rows, schema, folder, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return report(rows, folder / "report.html", schema=schema, **options).read_text("utf-8")


def words_of(page):
    text = re.sub(r"<style.*?</style>|<script.*?</script>", " ", page, flags=re.DOTALL)
    return unescape(" ".join(re.sub(r"<[^>]*>", " ", text).split()))


def first_screen(page):
    return words_of(page.split('<section id="answer"')[1].split("</section>")[0])


continuous = table().assign(**{"score 0": np.random.default_rng(3).normal(60, 10, 300) / 7})
wide = table(400, scores=1).assign(**{f"question {i}": np.random.default_rng(i).choice(list("abc"), 400) for i in range(36)})
SHAPES = {
    "no factors": (table(), Schema([], scores_of(table()))),
    "one score and nothing else": (table(scores=1), Schema([], ["score 0"])),
    "twelve rows, no factors": (table(12), Schema([], ["score 0"])),
    "a continuous score, no factors": (continuous, Schema([], ["score 0", "score 1"])),
    "covariates only": (table(), Schema([], scores_of(table()), covariates=["age", "hours"])),
    "a constant covariate and one that all lack": (table().assign(age=16, hours=np.nan), Schema([], ["score 0"], covariates=["age", "hours"])),
    "a constant score, no factors": (table().assign(**{"score 1": 7}), Schema([], ["score 0", "score 1"])),
    "a score that all lack, no factors": (table().assign(**{"score 1": np.nan}), Schema([], ["score 0", "score 1"])),
    "holes in all columns, no factors": (table().mask(np.random.default_rng(1).random((300, 6)) < .3), Schema([], ["score 0", "score 1"], covariates=["hours"])),
    "sixty scores": (table(scores=60), Schema(["sex"], scores_of(table(scores=60)))),
    "sixty scores, no factors": (table(scores=60), Schema([], scores_of(table(scores=60)))),
    "thirty-six factors": (wide, Schema([name for name in wide if name.startswith("question")], ["score 0"])),
    "factors of one level, and empty ones": (table().assign(sex="girl", **{"class": None}), Schema(["sex", "class"], ["score 0"])),
    "marks of which the lowest is best": (table().assign(mark=np.random.default_rng(2).integers(1, 7, 300)),
                                          Schema(["sex", "class"], {"mark": (1, 6)}, lowest_best=["mark"])),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_table_of_any_shape_gives_a_report(shape, tmp_path):
    rows, schema = SHAPES[shape]
    page = page_of(rows, schema, tmp_path, summary=True)
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", words_of(page)), shape
    assert f"{len(rows)} students, from a table in memory." in words_of(page)
    assert {path.suffix for path in tmp_path.iterdir()} == {".html", ".pdf", ".png", ".svg"}
    if not schema.factors:
        assert "The table names no groups to compare" in first_screen(page)
        assert "How are the scores distributed?" in page and not re.search(r"\bgroups? of|between groups", words_of(page).split("Methods")[0])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_table_of_any_shape_has_a_mark(shape, tmp_path):
    rows, schema = SHAPES[shape]
    text = words_of(page_of(rows, schema, tmp_path, mark={next(iter(schema.scores)): 5}))
    assert "Reaching the mark" in text and not re.search(r"\bnan\b|\bNone\b(?! of)|\binf\b", text)


def test_the_answer_without_groups_has_the_numbers_of_scipy(tmp_path):
    rows = table()
    text = first_screen(page_of(rows, Schema([], scores_of(rows), covariates=["age", "hours"]), tmp_path))
    r = pearsonr(rows["score 0"], rows["score 1"])
    low, high = r.confidence_interval()
    wanted = f"The correlation of score 0 and score 1 is {r.statistic:.2f} ({low:.2f} to {high:.2f}).".replace("0.", ".")
    assert wanted in text
    q25, q75 = np.quantile(rows["score 0"], [.25, .75])
    assert f"mean {rows['score 0'].mean():.1f} (" in text and f"half of the values lie between {q25:.1f} and {q75:.1f}" in text
    closest = max((abs(rows[name].corr(rows[score])), name, score) for name in ("age", "hours") for score in scores_of(rows))
    assert f"{closest[1]} is the most closely related to a score: students with more of it have higher values in {closest[2]}" in text


def test_too_few_values_are_an_error_that_says_so(tmp_path):
    with pytest.raises(DataError, match="found no score with 10 values or more"):
        report(table(9), tmp_path / "report.html", schema=Schema([], ["score 0"]))
    assert list(tmp_path.iterdir()) == []


def test_sixty_scores_give_a_page_of_bounded_length(tmp_path):
    rows, schema = SHAPES["sixty scores"]
    page = page_of(rows, schema, tmp_path)
    assert len(page) < 1e6 and page.count("<figure") < 40
    assert len(first_screen(page)) < 4000
    assert "The sentences and figures are about 6 of 60 scores, those with the surest differences" in first_screen(page)
    assert "the first 400 of 1,770 rows" not in page or page.count("<tr") < 4000


def test_a_survey_weight_is_left_out_and_said(tmp_path):
    rows = table().assign(pw=2.5)
    weighted = Schema(["sex"], ["score 0"], weight="pw", recode={"pw": {"x": ""}})
    page = page_of(rows, weighted, tmp_path)
    assert "The report does not use the survey weight 'pw'. Its means describe the rows of the table, not the population." in first_screen(page)
    plain = page_of(rows, Schema(["sex"], ["score 0"]), tmp_path)
    means = re.compile(r"Sex: scores by group.*?</table>", re.DOTALL)
    assert means.search(page)[0] == means.search(plain)[0]
    with pytest.raises(ValueError, match="report has no form for survey weights"):
        report(Cohort.summarize(rows, weighted), tmp_path / "other.html", schema=weighted)


def test_groups_need_more_rows_where_a_student_has_several(tmp_path):
    rows = table()
    rows.loc[:24, "class"] = "the small one"
    rows.loc[25:, "class"] = rows.loc[25:, "class"].where(rows.index[25:] % 2 == 0, "7a")
    schema = Schema(["class"], ["score 0"], people="results", rows_per_student=3)
    page = page_of(rows, schema, tmp_path)
    assert "A group is shown from 30 results on, so that it holds at least 10 students." in first_screen(page)
    assert "One student has up to 3 rows" in first_screen(page)
    assert "the small one" not in page and "1 group of fewer than 30 results" in page
    assert "the small one" in words_of(page_of(rows, Schema(["class"], ["score 0"]), tmp_path)).split("The data")[-1]


def test_words_follow_what_the_rows_are(tmp_path):
    rows = table().drop(columns=["class", "hours"])
    page = page_of(rows, Schema([], scores_of(rows), covariates=["age"], people="districts"), tmp_path)
    assert "300 districts, from a table in memory." in page and "How are the scores of districts distributed?" in page
    assert "student" not in words_of(page).lower().replace("student's", "").replace("studperf", "")
    grouped = words_of(page_of(rows, Schema(["sex"], scores_of(rows), people="schools"), tmp_path))
    assert "Schools were not assigned to groups at random" in grouped and "so a school's group does not tell you that school's score" in grouped
    assert "the dashed line is the mean of all schools" in grouped


def test_figures_say_which_end_is_better(tmp_path):
    rows, schema = SHAPES["marks of which the lowest is best"]
    text = words_of(page_of(rows, schema, tmp_path))
    assert "Mark (lower is better)" in text and "In mark, lower is better." in text
    assert "mark score (dot: mean; lower is better)" in text and "dashed: all; lower is better)" in text


# The page in a browser

@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    random = np.random.default_rng(0)
    many = pd.DataFrame({f"factor {i}": random.choice(["low", "middle", "high"], 600) for i in range(28)}
                        | {name: random.integers(0, 101, 600) for name in ("math", "reading", "writing")})
    wanted = {"sample": (None, None), "plain": SHAPES["covariates only"], "many": (many, Schema(list(many)[:28], list(many)[28:]))}
    return {name: report(rows, folder / f"{name}.html", **({"schema": schema} if schema else {"mark": 60})) for name, (rows, schema) in wanted.items()}


@pytest.fixture
def opened(browser):
    """`opened(path, width=390)` is the page, in a context of its own; errors and requests of other hosts fail the test."""
    contexts, wrong = [], []

    def at(path, fragment="", width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
        page.goto(path.as_uri() + fragment)
        return page
    yield at
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.mark.parametrize("name", ["sample", "plain", "many"])
@pytest.mark.parametrize("width, scheme", [(1280, "dark"), (390, "light")])
def test_axe_finds_nothing_with_parts_closed_and_open(axe, opened, pages, name, width, scheme):
    page = opened(pages[name], width=width, color_scheme=scheme)
    for _ in range(2):
        assert violations(page, axe) == []
        page.get_by_role("button", name="Open all parts").click() if _ == 0 else None
    assert page.evaluate("document.documentElement.scrollWidth") == width, "the page scrolls sideways"


def test_twenty_eight_factors_fit_on_a_few_screens(opened, pages):
    page = opened(pages["many"], width=390)
    closed = page.evaluate("document.documentElement.scrollHeight")
    page.get_by_role("button", name="Open all parts").click()
    assert closed < 7000 < page.evaluate("document.documentElement.scrollHeight")
    page.get_by_role("button", name="Close all parts").click()
    assert page.evaluate("document.documentElement.scrollHeight") == closed


def test_parts_open_by_key_by_link_and_by_address(opened, pages):
    page = opened(pages["sample"])
    part = page.locator("#data details")
    page.locator("#data summary").first.focus()
    page.keyboard.press("Enter")
    assert part.evaluate("part => part.open")
    page.locator("#answer a[href='#mark']").click()
    page.wait_for_function("document.querySelector('#mark details').open")
    assert opened(pages["sample"], "#factor-2").evaluate("document.querySelector('#factor-2 details').open")
    assert not page.evaluate("document.querySelector('#factor-2 details').open")


@pytest.mark.parametrize("script", [True, False])
def test_print_shows_all_parts(opened, pages, script):
    page = opened(pages["sample"], java_script_enabled=script)
    text = page.locator("#methods li").first
    assert not text.is_visible()
    page.emulate_media(media="print")
    assert text.bounding_box()["height"] > 5
    assert page.pdf()[:4] == b"%PDF"


def test_a_table_that_scrolls_says_so(opened, pages):
    page = opened(pages["sample"], "#factor-3", width=390)
    region = page.locator("#factor-3 .scroll").first
    hint = region.locator(".hint")
    expect(region).to_have_class(re.compile(r"\bwide\b"))
    assert hint.is_visible() and hint.inner_text() == "Scroll sideways to see all columns →"
    assert [region.get_attribute(name) for name in ("role", "tabindex")] == ["region", "0"] and len(region.get_attribute("aria-label")) > 5
    region.focus()
    page.keyboard.press("ArrowRight")
    for _ in range(100):  # the page's policy allows no wait_for_function, which evaluates a text
        if region.evaluate("region => region.scrollLeft") > 0:
            break
        page.wait_for_timeout(50)
    else:
        pytest.fail("the arrow key does not scroll the table")
    wider = opened(pages["sample"], "#factor-3")
    assert not wider.locator("#factor-3 .scroll .hint").first.is_visible()


@pytest.mark.parametrize("name, part, texts", [("sample", "answer", {"Higher above lower group", "as they are", "Math", "lunch", "parental education", "15"}),
                                               ("sample", "scores", {"Math scores", "all", "n\u00a0=\u00a01,000", "40", "math score (dot: mean)"}),
                                               ("plain", "answer", {"Score 0", "hours", "correlation (95% intervals)"})])
@pytest.mark.parametrize("width, scheme", [(1280, "light"), (390, "dark")])
def test_a_figure_is_saved_as_a_picture(opened, pages, tmp_path, name, part, texts, width, scheme):
    page = opened(pages[name], f"#{part}", width=width, color_scheme=scheme, accept_downloads=True)
    figure = page.locator(f"#{part} figure").first
    saved = {}
    for kind in ("SVG", "PNG"):
        with page.expect_download() as download:
            figure.get_by_role("button", name=kind).click()
        saved[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[kind])
    root = ElementTree.parse(saved["SVG"]).getroot()
    tags = [one.tag.removeprefix("{http://www.w3.org/2000/svg}") for one in root.iter()]
    assert texts <= {one.text for one in root.iter("{http://www.w3.org/2000/svg}text")}
    marks = figure.locator("i:not(.scale i)").count() - figure.locator(".diamond i").count()
    assert tags.count("circle") == marks > 0, "a circle for each dot"
    wide, high = float(root.get("width")), float(root.get("height"))
    picture = matplotlib.image.imread(saved["PNG"])
    assert (wide, picture.shape[:2]) == (640, (2 * high, 2 * wide))
    assert picture[0, 0, :3].min() == 1 and picture[..., :3].min() < .5, "white, with something on it"
    assert saved["SVG"].suffix == ".svg" and re.fullmatch(r"[a-z0-9-]+", saved["SVG"].stem)
    assert page.locator(".picture").count() == 0


def test_only_the_pages_own_script_may_run(pages):
    page = pages["sample"].read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; ") and "script-src 'sha256-" in unescape(policy) and page.count("<script") == 1
    assert pages["sample"].stat().st_size < 200_000


# The summary

def test_the_summary_is_one_page_and_the_same_each_time(tmp_path):
    names = ("report-summary.pdf", "report-summary.png", "report-summary.svg")
    made = []
    for _ in range(2):
        report(None, tmp_path / "report.html", summary=True)
        made.append([(tmp_path / name).read_bytes() for name in names])
    assert made[0] == made[1]
    assert made[0][0].count(b"/Type /Page ") + made[0][0].count(b"/Type /Page\n") == 1 and b"CreationDate" not in made[0][0]
    high, wide = matplotlib.image.imread(tmp_path / names[1]).shape[:2]
    assert round(wide / high, 2) == 1.78
    assert "studperf.report(None, &#39;report.html&#39;, summary=True)" in (tmp_path / "report.html").read_text()


def test_an_error_leaves_no_file_of_the_summary(tmp_path, monkeypatch):
    monkeypatch.setattr("studperf.reporting.report.write_summary", lambda content, paths: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report(None, tmp_path / "report.html", summary=True)
    assert list(tmp_path.iterdir()) == []


def test_a_table_without_groups_has_a_notebook(tmp_path):
    rows = table().drop(columns=["sex", "class"])
    rows.to_csv(tmp_path / "rows.csv", index=False)
    report(tmp_path / "rows.csv", tmp_path / "report.html", schema=Schema([], scores_of(rows), covariates=["age", "hours"]), notebook=True)
    assert "correlations(cohort" in (tmp_path / "report.ipynb").read_text()
