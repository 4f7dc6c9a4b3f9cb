"""The MILS loop on scenes of the miniature world that no training saw, and baselines beside it."""
