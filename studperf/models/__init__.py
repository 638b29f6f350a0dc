"""Fit, compare, explain, judge and keep models of a score."""
