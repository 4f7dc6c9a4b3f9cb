"""Whether Java runs here: the reference tokenizer, METEOR and SPICE are Java programs."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

NO_JAVA = "there is no Java"
# SPICE's serialiser reaches into these packages, which Java shuts by default from version 16 on.
_OPENED = ("lang", "lang.reflect", "math", "net", "text", "util", "util.concurrent")
_OPTIONS = " ".join(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in _OPENED)


def has_java() -> bool:
    """Whether a `java` on the path starts."""
    program = shutil.which("java")
    return program is not None and _starts(program)


@cache
def _starts(program: str) -> bool:
    # On some systems `java` is only a note that there is none.
    return subprocess.run([program, "-version"], capture_output=True).returncode == 0


@contextmanager
def opened_packages() -> Iterator[None]:
    """Java programs started meanwhile may reach into Java's own packages.

    Java 8, which shuts nothing and does not know the option, ignores this variable.
    """
    before = os.environ.get("JDK_JAVA_OPTIONS")
    os.environ["JDK_JAVA_OPTIONS"] = f"{before or ''} {_OPTIONS}".strip()
    try:
        yield
    finally:
        if before is None:
            del os.environ["JDK_JAVA_OPTIONS"]
        else:
            os.environ["JDK_JAVA_OPTIONS"] = before
