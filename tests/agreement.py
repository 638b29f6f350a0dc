"""What the tests against reference values share: how far two sets of numbers are apart, and a line per method."""
import pandas as pd

KEY = ["method", "score", "factor", "term", "quantity"]


def read_values(path, *first):
    """A file of reference values, indexed by `first` and KEY; a level may be called NA."""
    return pd.read_csv(path, keep_default_na=False).astype({"value": float}).set_index([*first, *KEY])["value"].sort_index()


def relative_difference(ours, theirs):
    """0 where both are equal, 0 included; infinite where ours is missing."""
    difference = ((ours - theirs) / theirs.where(theirs != 0, 1)).abs()
    return difference.mask(ours == theirs, 0).fillna(float("inf"))


def table_lines(difference):
    """A line per method: how many values, and the largest difference."""
    table = difference.groupby(level="method").agg(["size", "max"])
    return [f"{method:26} {row['size']:6.0f} values   largest relative difference {row['max']:.1e}"
            for method, row in table.iterrows()]
