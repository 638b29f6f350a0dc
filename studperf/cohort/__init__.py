"""Reduce rows to counts and sums by cell, merge and save these, and hide groups that are too small."""
from .. import former_names_of

__getattr__ = former_names_of("cohort")  # version 0.1 had a module of this name
