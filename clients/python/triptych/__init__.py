"""Client of the Triptych gateway."""
