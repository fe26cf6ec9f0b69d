"""Measurements; never tests: machines are noisy, so what is compared runs in one process and ratios are told."""
