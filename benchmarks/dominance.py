"""How well do the number, the sum, the sum of squares and the limits determine the lowest score of a group of ten to 12?

Whole scores from 0 to 100. A search lists the lowest scores that are possible; a group whose range is narrow is given away.
"""
import argparse

import numpy as np

SEARCHED = 20_000  # steps of one search; beyond them a score counts as possible
BOUNDS = (1, 1.5, 2, 2.5, 3, 3.5, 4, 6, 20)  # of effective contributors


def is_possible(n: int, total: int, squares: int, most: int, budget: list[int]) -> bool:
    "Return whether n whole numbers from 0 to `most` have this sum and these squares."
    if (total + squares) % 2 or total < 0 or squares < total:
        return False
    if n == 0 or total == 0:
        return total == squares == 0
    if total * total > n * squares or squares > most * total or total > n * most:
        return False
    if n == 1:
        return total * total == squares
    budget[0] -= 1
    if budget[0] < 0:
        return True
    spread = ((n - 1) * (squares - total * total / n) / n) ** .5
    return any(is_possible(n - 1, total - largest, squares - largest ** 2, largest, budget)
               for largest in range(-(-squares // total), int(min(most, total / n + spread + 1)) + 1))


def lowest_and_highest(deficits: np.ndarray) -> tuple[int, int]:
    "Return the smallest and the largest distance from the limit that the outermost student can have."
    n, total, squares = len(deficits), int(deficits.sum()), int((deficits ** 2).sum())
    found = [largest for largest in range(101) if largest * n >= total
             and is_possible(n - 1, total - largest, squares - largest ** 2, largest, [SEARCHED])]
    return min(found), max(found)


def random_group(random: np.random.Generator) -> np.ndarray:
    "Return how far the scores of a group lie below 100; some groups are near the limit but for up to three students."
    n, outliers = int(random.integers(10, 13)), int(random.integers(-1, 4))
    if outliers < 0:
        scores = random.normal(random.uniform(40, 90), random.uniform(5, 20), n)
    else:
        near = 100 - random.exponential(random.uniform(.3, 4 if outliers else 15), n - outliers)
        scores = np.r_[near, random.uniform(0, 80, outliers)]
    return 100 - scores.round().clip(0, 100).astype(int)


def main(groups: int) -> None:
    random, rows = np.random.default_rng(0), []
    while len(rows) < groups:
        deficits = random_group(random)
        if deficits.max() >= 30:  # the lowest score lies far from the limit
            low, high = lowest_and_highest(deficits)
            rows.append((deficits.sum() ** 2 / (deficits ** 2).sum(), high - low))
    effective, width = np.array(rows).T
    print("effective contributors | groups | lowest score known within 10 points | median range")
    for low, high in zip(BOUNDS, BOUNDS[1:], strict=False):
        inside = (low <= effective) & (effective < high)
        if inside.any():
            print(f"{low} to {high} | {inside.sum()} | {(width[inside] < 10).mean():.0%} | {np.median(width[inside]):.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=2_500)
    main(parser.parse_args().groups)
