"""Text found by search instead of training (MILS, arXiv 2501.18096).

A proposer writes captions, a scorer scores them against a target, and the scored captions go back
to the proposer. `loop` is the search; what it searches with is injected.
"""
