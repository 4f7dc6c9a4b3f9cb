"""Figures of a gateway's models on scenes of the miniature world that no training saw."""
