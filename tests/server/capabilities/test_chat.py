"""A reply while it is written."""

from hypothesis import given
from hypothesis import strategies as st

from triptych_server.capabilities.chat import Ends


@given(st.lists(st.text(alphabet=" \n\t.xé", max_size=3)))
def test_pieces_add_up_to_the_text_without_white_space_at_its_ends(pieces: list[str]) -> None:
    ends = Ends()
    assert "".join(ends.strip(piece) for piece in pieces) == "".join(pieces).strip()


def test_piece_is_given_as_soon_as_it_is_certain() -> None:
    ends = Ends()
    assert [ends.strip(piece) for piece in (" ", "a", " ", "b ", "\n")] == ["", "a", "", " b", ""]
