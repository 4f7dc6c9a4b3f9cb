"""Answers to the questions of a data set in VQAv2's format, against those that people gave."""
