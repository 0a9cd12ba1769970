"""Metrics of the tasks, as the official evaluation computes them."""
