"""The exception for errors that a user can fix."""


class InputError(Exception):
    """Invalid user input or environment: a config value, a file, a model, a full disk.

    The message states what is wrong, in which file and key or row, and what would be correct. Scripts print it as one line
    without a traceback and exit with status 1.
    """
