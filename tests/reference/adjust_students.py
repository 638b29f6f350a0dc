"""Makes adjust_students.csv: fictional students whose factors go together, with weights, schools and missing values."""
from pathlib import Path

import numpy as np

from studperf import simulate_students

EDUCATION = ["some high school", "high school", "some college", "associate's degree", "bachelor's degree", "master's degree"]

random = np.random.default_rng(61)
students = simulate_students(1200, seed=16)
standing = students["parental_education"].astype(str).map(EDUCATION.index).to_numpy()
# Where parents are better educated, students with free lunch and students without the course are kept less often.
chance = np.where(students["lunch"] == "standard", .2 + .12 * standing, .7 - .12 * standing)
chance *= np.where(students["test_prep"] == "completed", 1, 1 - .12 * standing)
students = students[random.random(1200) < chance].head(420).reset_index(drop=True)
count = len(students)
school = random.integers(0, 40, count)
students["math"] = (students["math"] + random.normal(0, 5, 40).round()[school]).clip(0, 100).astype("Int64")
students["school"] = [f"s{number:02}" for number in school]
students["weight"] = random.uniform(.5, 4, count).round(2)
students["lunch"] = students["lunch"].astype(object)
students.loc[random.choice(count, 25, replace=False), "math"] = None
students.loc[students["school"] == "s07", "math"] = None  # a school that was sampled, but without a score
students.loc[random.choice(count, 6, replace=False), "lunch"] = None
students = students[["gender", "parental_education", "lunch", "test_prep", "school", "weight", "math", "reading"]]
students.to_csv(Path(__file__).with_suffix(".csv"), index=False)
