"""Reduce rows to counts and sums by cell, merge and save these, and hide groups that are too small."""
