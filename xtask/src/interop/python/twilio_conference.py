"""twilio-python finds a conference that goes on, waits until all parties are there, and changes one of them."""
import argparse

import twilio
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from checks import check, until

flags = argparse.ArgumentParser()
for name in ["--url", "--account", "--token"]:
    flags.add_argument(name, required=True)
flags.add_argument("--parties", type=int, required=True)
flags = flags.parse_args()
client = Client(flags.account, flags.token, flags.account)
client.api.base_url = flags.url

conference = until("the conference goes on", lambda: client.conferences.list(friendly_name="board", status="in-progress"))[0]
here = client.conferences(conference.sid)
until("all are there", lambda: len(here.participants.list()) == flags.parties)
party = here.participants.list()[0].call_sid
check(here.participants(party).update(muted=True).muted, "muted")
check([one.call_sid for one in here.participants.list(muted=True)] == [party], "the muted one is listed")
check(not here.participants(party).update(muted=False).muted, "unmuted")
check(here.participants(party).update(hold=True).hold, "on hold")
check(not here.participants(party).update(hold=False).hold, "taken back")
check(here.fetch().friendly_name == "board", "fetched")
try:
    here.participants("absent").fetch()
    check(False, "a party that there is not is found")
except TwilioRestException as error:
    check((error.status, error.code) == (404, 20404), f"{error.status} {error.code}")
print(f"twilio-python {twilio.__version__}: {flags.parties} parties, one of them muted and held for a while")
