"""Run as a script: the command line, loaded once."""

import sys

from forks import serve

from polygrain import cli


def main(arguments: list[str]) -> None:
    sys.argv = ["polygrain", *arguments]
    cli.main()


if __name__ == "__main__":
    serve(main)
