"""Serve the page to many people at once, and keep what they enter private."""
