"""Build the site, or train what its two labs show: ``python -m ssae_kit.site [labs]``."""

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Run one of the two; a broken link is an error."""
    parser = argparse.ArgumentParser(prog="python -m ssae_kit.site", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["pages", "labs"], default="pages")
    parser.add_argument("--out", type=Path, default=Path("build/site"), help="folder of the pages")
    given = parser.parse_args()
    if given.what == "labs":
        from ssae_kit.site import labs

        labs.compute(Path("data", "results"))
        return
    from ssae_kit.site import broken, build

    try:
        pages = build(Path(), given.out)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"{len(pages)} pages; open {given.out / 'index.html'}")
    faults = broken(given.out)
    sys.exit("\n".join(faults) or 0)


if __name__ == "__main__":
    main()
