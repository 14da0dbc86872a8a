"""Tables as values and files, and what their cells are made of."""
