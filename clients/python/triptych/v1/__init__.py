"""Generated stubs of the triptych.v1 API."""
