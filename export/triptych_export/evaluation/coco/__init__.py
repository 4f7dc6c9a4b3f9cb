"""Captions of a data set in COCO's format, against those that people wrote."""
