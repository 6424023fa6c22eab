"""The command `dataset-export`: one module per group of commands.

Nothing heavy is imported when the command starts: Dagster, pyarrow and rich load inside the commands that need them.
"""
