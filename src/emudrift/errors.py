"""The one error that a user can cause: what is wrong, where, and what would be right."""


class InputError(Exception):
    """Something that the user gave is wrong: a config value, a file, a model, a full disk.

    Its message is written for the person who reads it: what is wrong, in which file and key or row, what would be right.
    The scripts print it as one line without a traceback and exit with status 1.
    """
