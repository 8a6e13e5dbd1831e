"""Rates as ratios: every figure beside a limit measured in the same run on the same machine."""
