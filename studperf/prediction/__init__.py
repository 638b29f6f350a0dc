"""Predict with a fitted model's arithmetic, without the library that fitted it."""
from .. import former_names_of

__getattr__ = former_names_of("prediction")  # version 0.1 had a module of this name
