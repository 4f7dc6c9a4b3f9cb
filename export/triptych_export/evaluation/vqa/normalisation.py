"""Answers in the form in which VQA compares them (https://visualqa.org/evaluation.html)."""

import re

_ARTICLES = frozenset({"a", "an", "the"})
_NUMBERS = {
    "none": "0",
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}
# Those that no other word is spelled like without its apostrophe (well, hell, ill, id, its, were).
_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
    haven't he'd he'd've he's how'd how'll how's i'd've i'm i've isn't it'd it'd've it'll ma'am
    might've mightn't mightn't've must've mustn't needn't o'clock oughtn't 'ow's'at shan't
    she'd've she's should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
    someone'd've someone'll someone's something'd something'd've something'll that's there'd
    there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've
    weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll
    who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've
    you'd you'd've you'll you're you've
"""
_BY_LETTERS = {word.replace("'", ""): word for word in _CONTRACTIONS.split()}
_COMMA_IN_NUMBER = re.compile(r"(?<=\d),(?=\d)")
_PERIOD = re.compile(r"\.(?!\d)")
_PUNCTUATION = re.compile(r"""[;/\[\]"{}()=+\\_\-<>@`,?!]""")


def normalise(answer: str) -> str:
    """The answer in lower case and simple words, of which people and models write variants.

    Articles go, number words up to ten become digits, contractions get the apostrophe that they
    lack, periods go unless a digit follows, commas within numbers too; other punctuation except
    apostrophes and colons becomes a space.
    """
    text = answer.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    text = _PERIOD.sub("", _COMMA_IN_NUMBER.sub("", text))
    words = _PUNCTUATION.sub(" ", text).split()
    return " ".join(_word(word) for word in words if word not in _ARTICLES)


def _word(word: str) -> str:
    return _NUMBERS.get(word) or _BY_LETTERS.get(word.replace("'", ""), word)
