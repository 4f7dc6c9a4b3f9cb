"""Why an export stops."""


class ExportError(Exception):
    """Base of the errors below; the message is for the person at the command line."""


class CheckpointError(ExportError):
    """The checkpoint cannot be read, or the model repository cannot express it."""


class ParityError(ExportError):
    """The exported network differs from the checkpoint by more than its precision allows."""


class RepositoryError(ExportError):
    """The model repository cannot take the export."""


class PlanError(ExportError):
    """TensorRT makes no plan of the exported network."""
