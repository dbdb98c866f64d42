"""Arrays in, plotly figures out; `show` displays one with its alt text.

`show` and the template live in `ssae_kit/plots/show.py`; each topic's figures in a module of its
own, named after the notebook that uses them.
"""
