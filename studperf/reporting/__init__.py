"""Turn tables into figures, sentences, the report and the model card."""
