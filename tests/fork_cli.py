"""Run as a script: the command line, loaded once; every line on standard input, a JSON list [LOG, ARGUMENT...], is run.

Each run is a process of its own that leads its own session, as if started by a shell, without the seconds that
importing torch takes. Prints its process id, then its exit code. Nothing here may start a thread before the forks.
"""

import json
import os
import sys

from polygrain import cli


def main() -> None:
    for line in sys.stdin:
        log, *arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setsid()
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            sys.argv = ["polygrain", *arguments]
            cli.main()
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
