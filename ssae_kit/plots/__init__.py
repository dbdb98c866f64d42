"""Arrays in, plotly figures out; `show` displays one with its alt text, `table` shows rows.

`figure` begins a figure; marks such as `curves` and `heat` draw into it.
"""

from ssae_kit.plots.areas import arrangements, bars, cloud, heat, histogram, rays
from ssae_kit.plots.axes import LEGEND_ABOVE, LEGEND_BELOW, figure, log_axis, reference, slider
from ssae_kit.plots.marks import curves, elbow, points, runs, scores
from ssae_kit.plots.phases import phase_maps
from ssae_kit.plots.show import show
from ssae_kit.plots.table import table
