"""Write the tables of this folder: simulated pupils, each table awkward in ways of its own.

    python tests/reference/make_data.py && Rscript tests/reference/make_reference.R

school      other names, decimals, negative scores, missing values, an empty cell, dependent factors, unequal spread
tiny        levels of 2 to 5 students
large       scores around a million that vary by 1
extremes    1,500 students as value counts: p-values down to 1e-300
clusters    30 classes of unequal size, a factor that is constant within them, levels out of alphabetical order
odd         a level with one student, a factor with one level, a constant score
"""
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parent
INCOME = ["low", "middle", "high", "very high"]


def school(random, n=310):
    region = random.choice(["north", "south", "west"], n, p=[.5, .35, .15])
    place = np.clip(random.binomial(3, np.where(region == "south", .6, .3)), 0, 3)
    place = np.where((region == "west") & (place == 3), 2, place)  # the empty cell: west, very high
    sex = random.choice(["f", "m"], n, p=[.55, .45])
    club = np.where(random.random(n) < .2 + .15 * place, "yes", "no")
    grade = random.choice([7, 8, 9], n, p=[.4, .4, .2])
    age = (grade + 5.5 + random.normal(0, .5, n)).round(2)
    able = random.normal(0, 1, n)
    exam = 50 + 3 * (sex == "f") + 4 * place + 2 * grade + 3 * (club == "yes") + (6 + 4 * (sex == "m")) * able + .8 * age
    essay = 2 * (sex == "f") + 1.5 * place + (4 + 2 * (region == "west")) * (.5 * able + random.normal(0, 1, n)) - 1
    frame = pd.DataFrame({"sex": sex, "region": region, "grade": grade, "income": np.array(INCOME)[place], "club": club,
                          "age": age, "essay": essay.round(1), "exam": exam.round(2)})
    return with_holes(frame, random, .05)


def tiny(random):
    levels = np.repeat(["b", "c", "a"], [2, 5, 4])
    frame = pd.DataFrame({"class": np.tile(levels, 4)[:40], "sex": random.permutation(["f"] * 17 + ["m"] * 23),
                          "track": np.repeat([f"t{i}" for i in range(10)], [2, 3, 4, 5, 5, 5, 5, 4, 4, 3])})
    return frame.assign(mark=random.integers(-3, 9, 40) + 2 * (frame["class"] == "a"), speed=random.normal(3, 1, 40).round(3))


def large(random, n=200):
    frame = pd.DataFrame({"group": random.choice(list("xyz"), n, p=[.5, .3, .2]), "arm": random.choice(["new", "old"], n)})
    shift = .4 * (frame["group"] == "z") + .3 * (frame["arm"] == "new")
    return frame.assign(mass=(1e6 + random.normal(0, 1, n) + shift).round(3),
                        depth=(-1e6 + random.normal(0, 1, n) + shift).round(2))


def extremes(random, n=1500):
    frame = pd.DataFrame({"side": random.choice(["left", "right"], n), "block": random.choice(["b1", "b2", "b3"], n)})
    points = 50 + 26 * (frame["side"] == "right") + 9 * (frame["block"] == "b3") + random.normal(0, 9, n)
    frame["points"] = points.round().astype(int)
    return frame.value_counts(sort=False).reset_index()


def clusters(random, classes=30):
    size = random.integers(3, 26, classes)
    room = np.repeat(np.arange(classes), size)
    n = len(room)
    kind = np.array(["public", "private"])[(random.random(classes) < .3).astype(int)][room]
    effort = random.integers(0, 3, n)
    hours = np.round(2 + effort + random.normal(0, 1, n), 1)
    score = 20 + 3 * effort + 2 * (kind == "private") + hours + random.normal(0, 3, classes)[room] + random.normal(0, 6, n)
    frame = pd.DataFrame({"room": [f"r{i + 1}" for i in room], "kind": kind, "effort": np.array(["some", "much", "full"])[effort],
                          "hours": hours, "score": score.round(2)})
    return with_holes(frame, random, .03)


def odd(random):
    frame = pd.DataFrame({"class": ["a"] * 12 + ["b"] * 13 + ["lone"], "sex": list("fm") * 13, "only": "x"})
    return frame.assign(mark=random.integers(0, 12, 26) / 4, same=7.5)


def with_holes(frame, random, share):
    return frame.astype(object).mask(random.random(frame.shape) < share)


if __name__ == "__main__":
    for seed, make in enumerate([school, tiny, large, extremes, clusters, odd], start=20_261):
        make(np.random.default_rng(seed)).to_csv(FOLDER / f"{make.__name__}.csv", index=False)
