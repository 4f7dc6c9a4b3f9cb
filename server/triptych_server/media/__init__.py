"""Bytes to tensors."""
