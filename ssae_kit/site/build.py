"""The pages' sources in one folder, and Sphinx over it."""

import re
import shutil
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import plotly

from ssae_kit.site import labs, pages
from ssae_kit.site.notebooks import page

HERE = Path(__file__).parent
CONFIG: dict[str, Any] = {
    "project": "SSAE Kit",
    "extensions": ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", __name__],
    "html_theme": "furo",
    "html_title": "SSAE Kit",
    "html_static_path": ["_static"],
    "templates_path": [str(HERE / "templates")],
    "html_css_files": ["site.css"],
    "html_js_files": ["site.js"],
    "html_copy_source": False,
    "html_show_sphinx": False,
    "html_math_renderer": "mathml",
    "myst_enable_extensions": ["dollarmath", "amsmath"],
    "myst_heading_anchors": 4,
    "myst_heading_slug_func": f"{__name__}.slug",
    "default_role": "code",
    "add_module_names": False,
    "autodoc_typehints": "none",
    "autodoc_member_order": "bysource",
    "napoleon_custom_sections": ["Source"],
    "suppress_warnings": ["docutils", "ref.python", "myst.header"],
}


def slug(title: str) -> str:
    """Return the name of a heading's place, as JupyterLab makes it."""
    return title.strip().replace(" ", "-")


def build(root: Path, out: Path) -> list[Path]:
    """Write the site.

    Args:
        root: A clone of the repository.
        out: Folder of the pages; what it held is replaced.

    Returns:
        The pages.

    Raises:
        ValueError: if there is no notebook, `out` holds something else than a site, or a page
            could not be made; says why.
    """
    from sphinx.application import Sphinx  # the extra `site`
    from sphinx.errors import SphinxError

    paths = sorted((root / "notebooks").glob("*.ipynb"))
    if not paths:
        raise ValueError(f"there must be notebooks in {root / 'notebooks'}; found none.")
    if out.exists() and any(out.iterdir()) and not (out / "searchindex.js").exists():
        raise ValueError(f"`out` must be a new folder or an older site; {out} holds other things.")
    shutil.rmtree(out, ignore_errors=True)
    with TemporaryDirectory() as folder:
        sources = Path(folder, "sources")
        _write_sources(root, paths, sources)
        try:
            app = Sphinx(sources, None, out, Path(folder, "doctrees"), "html", CONFIG, status=None)
            app.build()
        except SphinxError as error:
            raise ValueError(f"Sphinx could not build the pages: {error}") from error
    return sorted(out.glob("*.html"))


def _write_sources(root: Path, paths: list[Path], sources: Path) -> None:
    static = sources / "_static"
    shutil.copytree(HERE / "static", static)
    shutil.copy(Path(plotly.__file__).parent / "package_data" / "plotly.min.js", static)
    (static / "figures").mkdir()
    notebooks = [page(path, static / "figures") for path in paths]
    texts = {made.name: made.text for made in notebooks}
    texts |= {name: (root / path).read_text(encoding="utf-8") for name, path in pages.CARDS.items()}
    texts |= labs.texts(root / "data" / "results")
    texts |= pages.texts(root, notebooks)
    for name, text in texts.items():
        (sources / f"{name}.md").write_text(relinked(text), encoding="utf-8")


def relinked(text: str) -> str:
    """Make links between files of the repository links between pages."""
    for name, path in pages.CARDS.items():
        text = re.sub(rf"\]\((\.\./)*{re.escape(path)}", f"]({name}.md", text)
    text = re.sub(r"\]\((?:\.\./)*(?:notebooks/)?(\d\d\w+)\.ipynb", r"](\1.md", text)
    return re.sub(r"\[([^]]+)\]\((?:\.\./)*(data/\S+\.(?:toml|csv)|LICENSE)\)", r"\1 (`\2`)", text)


def setup(app: Any) -> dict[str, bool]:
    """Have Sphinx write formulas as MathML, which browsers draw by themselves."""
    alone = partial(_formula, block=True)
    app.add_html_math_renderer("mathml", (_formula, None), (alone, None))
    app.connect("autodoc-process-docstring", _before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", _after_napoleon, priority=600)
    return {"parallel_read_safe": True}


def _before_napoleon(
    _app: Any, what: str, _name: str, _of: Any, _options: Any, lines: list[str]
) -> None:
    """Keep bars and stars of a docstring, which are no marks of reStructuredText here."""
    text = re.sub(
        r"(`+[^`]*`+)|([|*])", lambda found: found[1] or f"\\{found[2]}", "\n".join(lines)
    )
    # In that of an attribute, napoleon takes what precedes a colon for a type.
    lines[:] = (text.replace(":", "\0") if what == "attribute" else text).split("\n")


def _after_napoleon(
    _app: Any, _what: str, _name: str, _of: Any, _options: Any, lines: list[str]
) -> None:
    lines[:] = [line.replace("\0", ":") for line in lines]


def _formula(writer: Any, node: Any, block: bool = False) -> None:
    from docutils.nodes import SkipNode
    from docutils.utils.math.latex2mathml import tex2mathml

    formula = node.astext()
    known = formula.replace(r"\textstyle", "").replace(r"\dots", r"\ldots")  # docutils' own words
    try:
        writer.body.append(tex2mathml(known, as_block=block))
    except ValueError as error:
        raise ValueError(f"docutils cannot write the formula {formula!r}: {error}") from error
    raise SkipNode
