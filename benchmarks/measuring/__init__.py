"""What the benchmarks have in common: models, lengths, lessons, timing, and variants in processes of their own."""
