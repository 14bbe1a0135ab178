"""What can go wrong here, each as one sentence a person can act on."""


class UserError(Exception):
    """Something the person at the keyboard can mend. Printed alone; exit code 2."""


class CommandFailed(UserError):
    """A program we ran ended badly; its last lines say why."""
