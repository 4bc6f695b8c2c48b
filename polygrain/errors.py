"""What can go wrong, and the exit code that says so: 1 a check failed, 2 config or data refused, 3 interrupted."""


class PolygrainError(Exception):
    """A one-line account of what is wrong, where, and what to do."""

    exit_code = 2


class ConfigError(PolygrainError):
    """The configuration is refused; the message names the key."""

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        super().__init__(f"{key}: {reason}")


class DataError(PolygrainError):
    """Data is refused; `where` is FILE, FILE:ROW or FILE:ROW:COLUMN, rows counted from 1 without the header."""

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        super().__init__(f"{where}: {reason}")


class CheckError(PolygrainError):
    """A check that the user asked for did not hold (prove, audit, certificate)."""

    exit_code = 1


class Interrupted(PolygrainError):
    """The run was stopped by the user and can be resumed by the same command."""

    exit_code = 3
