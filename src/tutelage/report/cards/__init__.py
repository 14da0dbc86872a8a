"""The README.md of what is exported: a model card, and a data set's card, written from the run's files."""
