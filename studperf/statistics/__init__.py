"""Turn sums into tables: descriptions, comparisons and regressions, each with intervals."""
