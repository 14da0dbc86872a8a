"""The joint loss (Eqs. 2-4): pure functions of tensors, and the separate passes that are the reference for it.

Every faster way to the same sums is in packed/, and is compared with these.
"""
