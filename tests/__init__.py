"""Tests and benchmarks of SSAE Kit."""
