"""Seeds by name."""

from tutelage.seeds import derive_seed


def test_seeds_differ_by_every_name_and_fit_a_generator() -> None:
    seeds = {derive_seed(42, "exam", 1, "a/1"), derive_seed(42, "exam", 2, "a/1"), derive_seed(43, "exam", 1, "a/1")}
    seeds |= {derive_seed(42, "exam1", "a/1"), derive_seed(42, "exam", 1, "a/11")}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_seed_is_the_same_in_every_process() -> None:
    assert derive_seed(42, "exam", 1, "svamp/17") == 6179475076253945138
