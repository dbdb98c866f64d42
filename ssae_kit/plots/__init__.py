"""Arrays in, plotly figures out; `show` displays one with its alt text.

Each topic's figures are in a module of its own, named after what they show.
"""

from ssae_kit.plots.show import show

__all__ = ["show"]
