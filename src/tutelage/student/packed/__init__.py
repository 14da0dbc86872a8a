"""One packed pass over a tree of prefixes instead of four separate ones."""
