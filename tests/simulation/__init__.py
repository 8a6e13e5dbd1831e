"""The engine on a log and a disk that a seed drives: every failure is a number that fails again."""
