"""twilio-python adds parties to a conference, waits until all are there, and changes one of them."""
import argparse
import sys
import time

import twilio
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

flags = argparse.ArgumentParser()
for name in ["--url", "--account", "--token", "--from", "--parties"]:
    flags.add_argument(name, required=True, dest=name.strip("-") + "_")
flags.add_argument("--join", action="store_true")
flags = flags.parse_args()
parties = [party.split("=", 1) for party in flags.parties_.split(",")]
client = Client(flags.account_, flags.token_, flags.account_)
client.api.base_url = flags.url_


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


for label, to in parties:
    added = client.conferences("board").participants.create(from_=flags.from_, to=to, label=label, beep="false")
    check(added.call_sid.startswith("CA") and added.label == label, f"{label}: {added.call_sid}, {added.label}")
conference = until("the conference goes on", lambda: client.conferences.list(friendly_name="board", status="in-progress"))[0]
here = client.conferences(conference.sid)
until("all are there", lambda: len(here.participants.list()) == len(parties))
label = parties[0][0]
check(here.participants(label).update(muted=True).muted, "muted")
check([one.label for one in here.participants.list(muted=True)] == [label], "the muted one is listed")
check(not here.participants(label).update(muted=False).muted, "unmuted")
check(here.participants(label).update(hold=True).hold, "on hold")
check(not here.participants(label).update(hold=False).hold, "taken back")
check(here.fetch().friendly_name == "board", "fetched")
try:
    here.participants("absent").fetch()
    check(False, "a party that there is not is found")
except TwilioRestException as error:
    check((error.status, error.code) == (404, 20404), f"{error.status} {error.code}")
print(f"twilio-python {twilio.__version__}: {len(parties)} parties added")
