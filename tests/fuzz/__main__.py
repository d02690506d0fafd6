"""Fuzz for as long as wanted, with other examples each time round."""

import argparse
import random
import sys
import time

import pytest


def main() -> int:
    """Run the tests of this directory until time is over, or one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    end = time.monotonic() + options.minutes * 60
    while time.monotonic() < end:
        seed = random.SystemRandom().randrange(2**32)
        sys.stdout.write(f"--hypothesis-seed={seed}\n")
        sys.stdout.flush()
        flags = ["-q", "--timeout=0", "--hypothesis-profile=long", f"--hypothesis-seed={seed}"]
        code = pytest.main(["tests/fuzz", "-x", *flags])
        if code:
            return int(code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
