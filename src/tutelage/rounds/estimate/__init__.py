"""What a teacher will be asked and paid, before it is."""
