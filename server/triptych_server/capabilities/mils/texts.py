"""When two texts are one."""

import unicodedata


def normalised(text: str) -> str:
    """What equal texts have in common: NFC, any white space as one space and none at the ends, no
    case."""
    folded = unicodedata.normalize("NFC", text).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())
