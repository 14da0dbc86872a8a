"""The books kept of a paid teacher: the ledger with every call and reply, prices, budget, and what they come to."""
