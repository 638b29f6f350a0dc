"""Predict with a fitted model's arithmetic, without the library that fitted it."""
