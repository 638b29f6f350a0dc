"""Read what a person hands in, check it against a Schema, and list everything that is wrong with it."""
