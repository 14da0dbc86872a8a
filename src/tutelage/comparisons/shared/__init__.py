"""What the runs of a comparison have in common, and take over from each other."""
