"""Why a host's file was left as it was. Messages are whole sentences and say what to do."""

from __future__ import annotations


class HostError(Exception):
    """Nothing was changed; the message says why and what to do."""


class SyntaxProblem(Exception):
    """A text is not what its format demands."""

    def __init__(self, reason: str, *, line: int | None = None, column: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        """From 1; None where the parser does not say."""
        self.column = column

    @property
    def where(self) -> str:
        """Return the place in words, ready to stand behind a file's name."""
        if self.line is None:
            return ""
        return f", line {self.line}" + (f", column {self.column}" if self.column else "")


class UneditableError(Exception):
    """The text is valid, but written in a way that cannot be edited without rewriting it; the message says which."""
