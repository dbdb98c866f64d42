"""The course as static pages, from the committed notebooks: `python -m ssae_kit.site`.

Sphinx makes the pages, their search and the API; this room says what is on them. Nothing runs: what
is shown is what the notebooks hold.
"""

from ssae_kit.site.build import build
from ssae_kit.site.links import broken
