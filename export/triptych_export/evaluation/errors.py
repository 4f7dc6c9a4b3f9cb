"""What makes an evaluation impossible."""


class EvaluationError(Exception):
    """The data cannot be evaluated; the message is for the person who gave them."""
