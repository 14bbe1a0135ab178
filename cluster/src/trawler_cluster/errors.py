"""Errors of the local cluster. Each message is one sentence that the user can act on."""


class UserError(Exception):
    """An error that the user can fix. Only its message is printed; the exit code is 2."""


class CommandFailed(UserError):
    """A program that we ran failed. The message holds the last lines of its output, if any."""
