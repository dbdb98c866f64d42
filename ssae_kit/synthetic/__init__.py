"""Data with known truth: concept shifts with a chosen support design."""

from ssae_kit.synthetic import supports
from ssae_kit.synthetic.shifts import (
    Magnitudes,
    Mixing,
    ShiftData,
    ShiftProblem,
    sample_shifts,
    stack,
)
from ssae_kit.synthetic.supports import Diversity, SupportDesign, check_diversity
