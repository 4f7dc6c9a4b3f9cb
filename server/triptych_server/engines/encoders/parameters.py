"""The string parameters of one config.pbtxt."""

from collections.abc import Mapping


class ConfigError(ValueError):
    """A config.pbtxt that Triptych cannot serve; the message names encoder and parameter."""


class Parameters:
    """Reads parameters, with errors that name the encoder and the key."""

    def __init__(self, encoder: str, values: Mapping[str, str]) -> None:
        self._encoder = encoder
        self._values = values

    def __getitem__(self, key: str) -> str:
        if not self._values.get(key):
            raise ConfigError(f"{self._encoder}: config.pbtxt lacks the parameter {key}")
        return self._values[key]

    def __contains__(self, key: str) -> bool:
        return bool(self._values.get(key))

    def integer(self, key: str) -> int:
        return int(self._number(key, int))

    def real(self, key: str) -> float:
        return float(self._number(key, float))

    def invalid(self, key: str) -> ConfigError:
        return ConfigError(f"{self._encoder}: {key} is not understood: {self[key]!r}")

    def _number(self, key: str, kind: type[int] | type[float]) -> float:
        try:
            return kind(self[key])
        except ValueError:
            raise ConfigError(f"{self._encoder}: {key} is not a number: {self[key]!r}") from None
