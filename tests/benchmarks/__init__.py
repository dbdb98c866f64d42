"""Benchmarks: `python -m tests.benchmarks NAME [--json]`; each topic is a module with `run()`."""
