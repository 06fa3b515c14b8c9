"""Holds and transfers as programs of Twilio do: both legs of a Dial are moved by twilio-python, the party's first."""
import argparse
import sys

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client
from twilio.twiml.voice_response import Dial, VoiceResponse

flags = argparse.ArgumentParser()
for name in ["--url", "--account", "--token", "--caller-id", "--caller", "--party", "--step"]:
    flags.add_argument(name, required=True)
flags = flags.parse_args()


client = Client(flags.account, flags.token)
client.api.base_url = flags.url


def check(holds, what):
    if not holds:
        sys.exit(what)


def room():
    response, dial = VoiceResponse(), Dial()
    dial.conference("hold", end_conference_on_exit=True, beep=False)
    response.append(dial)
    return response


def legs():
    """The caller's call, and that of its party."""
    caller = client.calls.list(to=flags.caller, limit=1)[0]
    parties = client.calls.list(parent_call_sid=caller.sid)
    check(len(parties) == 1, f"{len(parties)} calls of parties")
    party = parties[0]
    check((party.direction, party.to) == ("outbound-dial", flags.party), f"{party.direction} to {party.to}")
    return caller, party


if flags.step == "call":
    response = VoiceResponse()
    response.dial(flags.party)
    # The Dial ends when its party leaves it.
    response.say("One moment please")
    response.pause(length=60)
    client.calls.create(to=flags.caller, from_=flags.caller_id, twiml=response)
elif flags.step == "early":
    caller, party = legs()
    try:
        party.update(twiml=room())
        sys.exit("a party that rings has left its Dial")
    except TwilioRestException as refused:
        check((refused.status, refused.code) == (400, 21220), f"{refused.status} {refused.code}")
elif flags.step == "apart":
    caller, party = legs()
    response = VoiceResponse()
    response.say("Please hold the line")
    response.pause(length=60)
    moved = party.update(twiml=response)
    check((moved.sid, moved.parent_call_sid, moved.status) == (party.sid, caller.sid, "in-progress"), moved.status)
else:
    caller, party = legs()
    for call in (party, caller):
        call.update(twiml=room())
