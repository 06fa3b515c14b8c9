"""What scripts for twilio-python share: what ends a script that does not see what it should."""
import sys
import time

import twilio


def check(holds, what):
    if not holds:
        sys.exit(f"twilio-python {twilio.__version__}: {what}")


def until(what, holds):
    for _ in range(200):
        found = holds()
        if found:
            return found
        time.sleep(0.05)
    sys.exit(f"twilio-python {twilio.__version__}: waited too long until {what}")
