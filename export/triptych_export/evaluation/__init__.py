"""How good the models behind a gateway are, measured over RPC."""
