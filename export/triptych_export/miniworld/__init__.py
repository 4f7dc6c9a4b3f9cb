"""A drawn world small enough to learn on CPU cores: scenes, captions in two languages, pictures."""
