"""What can go wrong, and the exit code that says so: 1 a check failed, 2 config or data refused, 3 interrupted."""


class PolygrainError(Exception):
    """A one-line account of what is wrong, where, and what to do."""

    exit_code = 2


class _Refusal(PolygrainError):
    """Something at a place is refused; it keeps both apart, so that it survives the way out of a worker process."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place, self.reason = place, reason

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


class ConfigError(_Refusal):
    """The configuration is refused; the place is the key."""


class DataError(_Refusal):
    """Data is refused; the place is FILE, FILE:ROW or FILE:ROW:COLUMN, rows counted from 1 without the header."""


class Diverged(DataError):
    """A fit whose loss or gradient is not finite; its settings are at fault rather than a file."""


class CheckError(PolygrainError):
    """A check that the user asked for did not hold (prove, audit, certificate)."""

    exit_code = 1


class Uncertified(CheckError):
    """An optimum that its certificate does not prove."""


class Infeasible(DataError):
    """Constraints that no portfolio of a date satisfies, and that may not give way; the place is the date."""


class Interrupted(PolygrainError):
    """The run was stopped by the user and can be resumed by the same command."""

    exit_code = 3
