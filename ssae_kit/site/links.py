"""What is wrong with built pages: lost links, pictures without words, no title, a CDN."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """Names that can be linked to, and what the page links to or loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[tuple[str, str]] = []
        self.faults: list[str] = []
        self.titles = 0
        self.feed(path.read_text(encoding="utf-8"))
        if self.titles != 1:
            self.faults.append(f"{self.titles} headings of the first level; a page has one")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        given = dict(attrs)
        self.titles += tag == "h1"
        self.names |= {given[key] or "" for key in ("id", "name") if key in given}
        if tag == "img" and not (given.get("alt") or "").strip():
            self.faults.append(f"a picture without words: {str(given.get('src'))[:80]}")
        target = given.get("href") or given.get("src")
        if target and not target.startswith("data:"):
            self.links.append((tag, target))


def broken(site: Path) -> list[str]:
    """Return what is wrong, in words, page by page; other hosts' pages are not asked for.

    Args:
        site: Folder of built pages.
    """
    pages = {path.resolve(): _Page(path) for path in sorted(site.rglob("*.html"))}
    faults = []
    for path, page in pages.items():
        found = page.faults + [_fault(path, pages, *link) for link in page.links]
        faults += [f"{path.name}: {fault}" for fault in found if fault]
    return faults


def _fault(path: Path, pages: dict[Path, _Page], tag: str, target: str) -> str:
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return "" if tag == "a" else f"loads {target}, which needs the network"
    other = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not other.exists():
        return f"no file at {target}"
    named = (
        not parts.fragment or other not in pages or unquote(parts.fragment) in pages[other].names
    )
    return "" if named else f"no place at {target}"
