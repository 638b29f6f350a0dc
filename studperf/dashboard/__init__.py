"""Answer in the browser: the predictor as a widget and as a page."""
