"""twilio-python makes a queue, has two phones wait in it and a third one dial it, by documents that it writes."""
import argparse
import time

import twilio
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client
from twilio.twiml.voice_response import Dial, VoiceResponse

from checks import check, until

flags = argparse.ArgumentParser()
for name in ["--url", "--account", "--token", "--from", "--phones"]:
    flags.add_argument(name, required=True)
flags = flags.parse_args()
client = Client(flags.account, flags.token, flags.account)
client.api.base_url = flags.url
phones = flags.phones.split(",")
number = getattr(flags, "from")


def refused(what, expected, ask):
    try:
        ask()
    except TwilioRestException as error:
        return check((error.status, error.code) == expected, f"{what}: {error.status} {error.code}")
    check(False, f"{what} is not refused")


queue = client.queues.create(friendly_name="support", max_size=5)
check(queue.sid.startswith("QU") and queue.max_size == 5 and queue.current_size == 0, "made")
check(queue.date_created is not None and queue.account_sid == flags.account, "with its dates and account")
refused("the name of another one", (400, 22003), lambda: client.queues.create(friendly_name="support"))
here = client.queues(queue.sid)

waiting = VoiceResponse()
waiting.enqueue("support", max_queue_size=5)
calls = []
for place, phone in enumerate(phones[:2]):
    calls.append(client.calls.create(to=phone, from_=number, twiml=str(waiting)))
    until("it waits", lambda: here.fetch().current_size == place + 1)
members = here.members.list()
check([(one.call_sid, one.position) for one in members] == [(call.sid, place + 1) for place, call in enumerate(calls)], "in their order")
front = here.members("Front").fetch()
check(front.call_sid == calls[0].sid and front.queue_sid == queue.sid and front.wait_time >= 0, "the one at the front")
check(here.members(calls[1].sid).fetch().position == 2, "one by its call")
refused("a queue with callers is deleted", (400, 20001), here.delete)

dialling = VoiceResponse()
dial = Dial(timeout=20)
dial.queue("support")
dialling.append(dial)
party = client.calls.create(to=phones[2], from_=number, twiml=str(dialling))
until("the first one is taken", lambda: here.fetch().current_size == 1)
check(here.members("Front").fetch().call_sid == calls[1].sid, "the second one is the next")
time.sleep(6)
for call in [calls[0], party]:
    check(client.calls(call.sid).fetch().status == "in-progress", "both are connected")
client.calls(party.sid).update(status="completed")
until("the caller has left, too", lambda: client.calls(calls[0].sid).fetch().status == "completed")
check(here.update(friendly_name="sales", max_size=7).friendly_name == "sales", "renamed")
print(f"twilio-python {twilio.__version__}: two callers wait, the first is connected with the phone that dials the queue")
