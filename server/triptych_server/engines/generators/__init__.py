"""Generators: language models that continue texts and soft prefixes."""
