"""The one kind of error that a reader of the workbook is meant to read."""


class WorkbookError(Exception):
    """What the reader can put right: one line, what was found and what to do."""

    def _render_traceback_(self) -> list[str]:
        # Jupyter asks an exception for this: a stack would add nothing to the line
        return [f"{type(self).__name__}: {self}"]
