"""Where the language models of a gateway are, as its settings say."""

from pathlib import Path

import pytest

from triptych_server.engines.generators.vllm.entry import Style
from triptych_server.remote_generators import RemoteGenerator
from triptych_server.settings import Settings, SettingsError

TABLES = """
generator = "http://one:8000"

[[remote_generators]]
name = "qwen"
urls = ["http://a:8000", "https://b/"]

[[remote_generators]]
name = "llava"
served_name = "llava-hf/llava-1.5-7b-hf"
pictures = 2
api_key_env = "LLAVA_KEY"
answer_instruction = "Answer briefly: {question}"
template_arguments = {enable_thinking = false}

[[remote_generators]]
name = "blip2"
style = "prompt_embeds"
"""


def load(folder: Path, content: str) -> Settings:
    file = folder / "gateway.toml"
    file.write_text(content)
    return Settings.load(file)


def test_tables_of_generators_are_values(tmp_path: Path) -> None:
    settings = load(tmp_path, TABLES)
    assert settings.generator == ("http://one:8000",)
    qwen, llava, blip2 = settings.remote_generators
    assert isinstance(qwen, RemoteGenerator)
    assert qwen.urls == ("http://a:8000", "https://b")
    assert (qwen.style, qwen.pictures) == (Style.CHAT, 0)
    assert (llava.urls, llava.pictures) == ((), 2)
    assert blip2.style is Style.PROMPT_EMBEDS


def test_table_becomes_an_entry_for_the_engine(tmp_path: Path) -> None:
    settings = load(tmp_path, TABLES)
    qwen, llava, _ = settings.remote_generators
    assert qwen.model(settings.generator, {}).urls == ("http://a:8000", "https://b")
    entry = llava.model(settings.generator, {"LLAVA_KEY": "secret"})
    assert entry.urls == settings.generator
    assert (entry.served_name, entry.api_key) == ("llava-hf/llava-1.5-7b-hf", "secret")
    assert entry.instructions.answer == "Answer briefly: {question}"
    assert entry.instructions.caption
    assert entry.template_arguments == {"enable_thinking": False}
    assert "secret" not in repr(entry)


@pytest.mark.parametrize("environment", [{}, {"LLAVA_KEY": ""}, {"LLAVA_KEY": "two words"}])
def test_key_that_is_not_there_is_told_by_its_variable(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    _, llava, _ = load(tmp_path, TABLES).remote_generators
    with pytest.raises(ValueError, match="LLAVA_KEY") as caught:
        llava.model((), environment)
    assert "two words" not in str(caught.value)


def test_servers_can_be_a_flag_or_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = "http://one:8000, http://[::1]:8000/"
    expected = ("http://one:8000", "http://[::1]:8000")
    assert Settings.load(generator=servers).generator == expected
    monkeypatch.setenv("TRIPTYCH_GENERATOR", servers)
    assert Settings.load().generator == expected
    assert Settings.load(generator="http://flag").generator == ("http://flag",)


@pytest.mark.parametrize(
    "url",
    ["one:8000", "ftp://one", "http://", "http://one:port", "http://one:8000/v1", "http://one?a=b"],
)
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="must be http://HOST:PORT") as caught:
        Settings.load(generator=url)
    assert list(caught.value.faults) == ["generator"]


def test_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match="api_key_env") as caught:
        Settings.load(generator="http://user:secret@one:8000")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ('name = "a"', "a has no urls"),
        ('name = "a/b"\nurls = ["http://c"]', "name"),
        ('name = "a"\nurls = ["http://c"]\nmodel = "d"', "model"),
        ('name = "a"\nurls = ["http://c"]\npictures = -1', "pictures"),
        ('name = "a"\nurls = ["http://c", "http://c"]', "once"),
        ('name = "a"\nurls = ["http://c"]\nstyle = "beams"', "style"),
        ('name = "a"\nurls = ["http://c"]\nstyle = "prompt_embeds"\npictures = 1', "pictures"),
        ('name = "a"\nurls = ["http://c"]\nanswer_instruction = "?"', "{question}"),
    ],
)
def test_table_that_makes_no_sense_is_refused(tmp_path: Path, table: str, fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, f"[[remote_generators]]\n{table}")
    assert all(name.startswith("remote_generators") for name in caught.value.faults)
    assert fault in str(caught.value)


def test_two_tables_of_one_name_are_refused(tmp_path: Path) -> None:
    table = '[[remote_generators]]\nname = "a"\nurls = ["http://c"]\n'
    with pytest.raises(SettingsError, match="more than one has the name a"):
        load(tmp_path, table * 2)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("colour = 1", "colour: there is no such setting"),
        ('port = "x"', "port: must be a whole number"),
        ("port = 65536", "port: must be less than or equal to 65535"),
        ("generator = 5", "generator: must be a list"),
        ('services = ""', "services: must not be empty"),
        ('services = "embed"', "services.0: must be 'embedding', 'mils', 'search'"),
        ('encoders = "http://one"', "encoders: must be onnx, triton://HOST:PORT"),
        ('[[remote_generators]]\nurls = ["http://c"]', "remote_generators.0.name: is missing"),
        ("port = = 1", "gateway.toml is no TOML: .*line 1"),
    ],
)
def test_what_is_wrong_is_told_in_words(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load(tmp_path, content)


def test_key_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="generator_api_key: there is no such") as caught:
        load(tmp_path, 'generator_api_key = "secret"')
    assert "secret" not in str(caught.value)
