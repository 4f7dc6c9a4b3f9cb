"""The gateway's settings in deploy/."""

from pathlib import Path

from triptych_server.settings import Settings

CONFIG = Path(__file__).parents[2] / "deploy/gateway.toml"


def test_settings_are_understood() -> None:
    settings = Settings.load(CONFIG)
    assert settings.encoders.startswith("triton://")
    assert [generator.name for generator in settings.remote_generators] == [
        "blip2-opt-2.7b",
        "qwen2.5-7b-instruct",
    ]
