"""`python -m ssae_kit.llama fetch smollm2` fetches the real Llama once, into the user's cache."""

import argparse
import sys

from ssae_kit.llama.fetch import SMOLLM2, fetch


def main() -> None:
    """Read the command line and fetch."""
    parser = argparse.ArgumentParser(prog="python -m ssae_kit.llama", description=__doc__)
    parser.add_argument("command", choices=["fetch"])
    parser.add_argument("name", choices=[SMOLLM2])
    parser.parse_args()
    try:
        print(f"{SMOLLM2} is in {fetch()}")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
