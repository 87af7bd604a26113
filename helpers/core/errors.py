"""The one kind of error that a reader of the workbook is meant to read."""


class WorkbookError(Exception):
    """Something the reader can put right: one line that says what was found and what to
    do.
    """

    def _render_traceback_(self) -> list[str]:
        # Jupyter asks an exception for this: the line is the message, a stack adds
        # nothing
        return [f"{type(self).__name__}: {self}"]
