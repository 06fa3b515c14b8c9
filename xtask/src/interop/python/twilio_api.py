"""twilio-python as a client of the edge: account, numbers, keys, calls, lookups and errors. Every resource is compared with what the library
itself reads from an answer, and its types are those that the library parses. Only the base URL is set, or nothing without `--url`."""
import argparse
import datetime
import json
import sys
import time

import twilio
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.rest import Client
from twilio.rest.api.v2010.account import AccountInstance
from twilio.rest.api.v2010.account.call import CallInstance
from twilio.rest.api.v2010.account.incoming_phone_number import IncomingPhoneNumberInstance
from twilio.rest.api.v2010.account.key import KeyInstance
from twilio.rest.lookups.v1 import phone_number as lookups_v1
from twilio.rest.lookups.v2 import phone_number as lookups_v2

flags = argparse.ArgumentParser()
flags.add_argument("--url")
for name in ["--account", "--token", "--caller-id", "--answers", "--busy", "--silent", "--callback"]:
    flags.add_argument(name, required=True)
flags = flags.parse_args()
ACCOUNT = flags.account
shapes = 0


def client(user, secret):
    made = Client(user, secret, ACCOUNT)
    if flags.url:
        made.api.base_url = made.lookups.base_url = flags.url
    return made


def check(holds, what):
    if not holds:
        sys.exit(f"twilio-python {twilio.__version__}: {what}")


class Asked(dict):
    """An answer that keeps the names that the library asks it for."""

    def __init__(self, answer):
        super().__init__(answer)
        self.names = set()

    def get(self, name, default=None):
        self.names.add(name)
        return super().get(name, default)


def shaped(kind, path):
    """Fetches a resource and has the library read it: every field that it knows is there, and every date is one."""
    global shapes
    response = api.request("GET", f"{api.api.base_url}/2010-04-01/Accounts/{ACCOUNT}{path}.json")
    check(response.status_code == 200, f"{path}: {response.status_code} {response.text}")
    answer = Asked(json.loads(response.text))
    instance = kind(api.api.v2010, answer) if kind is AccountInstance else kind(api.api.v2010, answer, ACCOUNT)
    check(not answer.names - answer.keys(), f"{path} lacks {sorted(answer.names - answer.keys())}")
    for name in ["date_created", "date_updated", "start_time", "end_time"]:
        value = getattr(instance, name, None)
        check(value is None or isinstance(value, datetime.datetime), f"{path}: {name} is {value!r}")
        check(value is not None or not name.startswith("date_"), f"{path}: {name} is null")
    for name in ["account_sid", "sid", "uri"]:
        check(name not in answer.names or isinstance(answer[name], str), f"{path}: {name} is {answer.get(name)!r}")
    shapes += 1
    return answer


def looked_up(module, version, number):
    """Has the library read an answer of Lookup: every field that it knows is there."""
    global shapes
    response = api.request("GET", f"{api.lookups.base_url}/{version}/PhoneNumbers/{number}")
    check(response.status_code == 200, f"{number}: {response.status_code} {response.text}")
    answer = Asked(json.loads(response.text))
    module.PhoneNumberInstance(getattr(api.lookups, version), answer)
    check(not answer.names - answer.keys(), f"lookup {version} lacks {sorted(answer.names - answer.keys())}")
    shapes += 1


def refused(status, code, act, words=""):
    try:
        act()
    except TwilioRestException as error:
        was, message = (error.status, error.code), error.msg
    except TwilioException as error:
        # Lists raise this one, with the answer.
        answer = json.loads(error.args[1].text)
        was, message = (error.args[1].status_code, answer["code"]), answer["message"]
    else:
        check(False, f"{status} {code} was expected")
    check(was == (status, code) and words in message, f"{was} {message!r} instead of {status} {code} {words}")


def until(sid, status):
    for _ in range(200):
        call = api.calls(sid).fetch()
        if call.status == status:
            return call
        time.sleep(0.05)
    check(False, f"the call is {call.status} instead of {status}")


api = client(ACCOUNT, flags.token)


def account():
    fetched = api.api.accounts(ACCOUNT).fetch()
    check((fetched.sid, fetched.status) == (ACCOUNT, "active"), f"account {fetched.sid} {fetched.status}")
    shaped(AccountInstance, "")


def numbers():
    all_of_them = api.incoming_phone_numbers.list()
    paged = api.incoming_phone_numbers.list(page_size=1)
    check(len(all_of_them) >= 3, f"{len(all_of_them)} numbers")
    check([one.sid for one in paged] == [one.sid for one in all_of_them], "pages of one number each differ from one page")
    found = api.incoming_phone_numbers.list(phone_number=flags.caller_id)
    check([one.phone_number for one in found] == [flags.caller_id], f"found {[one.phone_number for one in found]}")
    number = api.incoming_phone_numbers(found[0].sid).fetch()
    check(isinstance(number.capabilities, dict) and number.capabilities["voice"] is True, f"{number.capabilities}")
    number = number.update(voice_url=flags.callback, voice_method="POST", status_callback=flags.callback, friendly_name="SDK")
    check((number.voice_url, number.status_callback) == (flags.callback, flags.callback), f"{number.voice_url}")
    check(number.fetch().friendly_name == "SDK", "the update does not last")
    shaped(IncomingPhoneNumberInstance, f"/IncomingPhoneNumbers/{number.sid}")
    number = number.update(voice_url="", voice_method="", status_callback="", friendly_name="")
    check(number.voice_url is None and number.status_callback is None, f"{number.voice_url} is left")


def keys():
    made = api.new_keys.create(friendly_name="sdk")
    check(len(made.secret) == 32 and isinstance(made.date_created, datetime.datetime), f"{made.date_created!r}")
    check(made.sid in [one.sid for one in api.keys.list()], "the new key is not listed")
    shaped(KeyInstance, f"/Keys/{made.sid}")
    check(api.keys(made.sid).update(friendly_name="renamed").friendly_name == "renamed", "no other name")
    by_key = client(made.sid, made.secret)
    by_key.calls.list(limit=1)
    refused(401, 20003, by_key.keys.list)
    check(api.keys(made.sid).delete() is True, "delete")
    refused(401, 20003, lambda: by_key.calls.list(limit=1))


def calls():
    progress = {"status_callback": flags.callback, "status_callback_event": ["initiated", "ringing", "answered", "completed"]}
    twiml = '<Response><Pause length="60"/></Response>'
    made = api.calls.create(to=flags.answers, from_=flags.caller_id, twiml=twiml, **progress)
    check((made.status, made.direction) == ("queued", "outbound-api"), f"{made.status} {made.direction}")
    shaped(CallInstance, f"/Calls/{made.sid}")
    running = until(made.sid, "in-progress")
    check(isinstance(running.start_time, datetime.datetime) and running.end_time is None, f"{running.start_time!r}")
    running.update(twiml='<Response><Pause length="50"/></Response>')
    running.update(status="canceled")
    check(running.fetch().status == "in-progress", "canceled ends a call that is answered")
    running.update(status="completed")
    ended = until(made.sid, "completed")
    check(ended.duration.isdigit() and ended.end_time >= ended.start_time, f"{ended.duration} {ended.end_time}")
    shaped(CallInstance, f"/Calls/{made.sid}")
    refused(400, 21220, lambda: ended.update(status="completed"))
    busy = api.calls.create(to=flags.busy, from_=flags.caller_id, twiml=twiml)
    until(busy.sid, "busy")
    rings = api.calls.create(to=flags.silent, from_=flags.caller_id, twiml=twiml)
    until(rings.sid, "ringing")
    rings.update(status="canceled")
    until(rings.sid, "canceled")
    late = api.calls.create(to=flags.silent, from_=flags.caller_id, twiml=twiml, timeout=1)
    until(late.sid, "no-answer")
    return [made.sid, busy.sid, rings.sid, late.sid]


def lists(made):
    everything = [one.sid for one in api.calls.list()]
    check(set(made) <= set(everything), "not every call is listed")
    check([one.sid for one in api.calls.list(page_size=1)] == everything, "pages of one call each differ from one page")
    check(len(api.calls.list(limit=2, page_size=1)) == 2, "limit")
    check([one.sid for one in api.calls.list(status="busy", to=flags.busy)][:1] == [made[1]], "busy calls")
    today = datetime.datetime.now(datetime.timezone.utc).date()
    check(set(made) <= {one.sid for one in api.calls.list(start_time_after=today - datetime.timedelta(days=1))}, "since yesterday")
    check(api.calls.list(start_time_before=datetime.date(2016, 7, 6)) == [], "calls of 2016")
    check(set(made) <= {one.sid for one in api.calls.stream(from_=flags.caller_id)}, "stream")


def detection():
    asked = {"machine_detection": "Enable", "machine_detection_timeout": 3, "async_amd": "true"}
    made = api.calls.create(to=flags.answers, from_=flags.caller_id, twiml='<Response><Pause length="60"/></Response>', **asked)
    until(made.sid, "in-progress")
    for _ in range(100):
        call = made.fetch()
        if call.answered_by is not None:
            break
        time.sleep(0.05)
    check(call.answered_by == "unknown", f"a party that says nothing is {call.answered_by}")
    made.update(status="completed")


def lookups():
    looked_up(lookups_v1, "v1", flags.caller_id)
    looked_up(lookups_v2, "v2", flags.caller_id)
    found = api.lookups.v2.phone_numbers("+1 (415) 992-9960").fetch()
    formats = (found.phone_number, found.national_format, found.country_code, found.calling_country_code)
    check(formats == ("+14159929960", "(415) 992-9960", "US", "1"), f"{formats}")
    check(found.valid is True and not found.validation_errors, f"{found.validation_errors}")
    national = api.lookups.v1.phone_numbers("020 7946 0123").fetch(country_code="GB")
    check((national.phone_number, national.country_code) == ("+442079460123", "GB"), f"{national.phone_number}")
    invalid = api.lookups.v2.phone_numbers("+141599299600").fetch()
    check((invalid.valid, invalid.validation_errors) == (False, ["TOO_LONG"]), f"{invalid.validation_errors}")
    refused(404, 20404, lambda: api.lookups.v1.phone_numbers("+141599299600").fetch())
    refused(501, 20501, lambda: api.lookups.v1.phone_numbers("+14159929960").fetch(type=["carrier"]), "Type")
    refused(501, 20501, lambda: api.lookups.v2.phone_numbers("+14159929960").fetch(fields="line_type_intelligence"), "Fields")


def errors():
    create = lambda **given: lambda: api.calls.create(**{"to": flags.answers, "from_": flags.caller_id, "twiml": "<Response/>", **given})
    refused(400, 21211, create(to="+1415555"))
    refused(400, 21211, create(to="client:charlie"), "client:")
    refused(400, 21210, create(from_="+12025550143"))
    refused(400, 21220, create(record=True), "[recording]")
    refused(400, 20001, create(machine_detection="Enabled"), "MachineDetection")
    refused(400, 20001, create(machine_detection="Enable", machine_detection_timeout=2), "MachineDetectionTimeout")
    refused(404, 20404, lambda: api.calls("CA" + "0" * 32).fetch())
    refused(401, 20003, lambda: client(ACCOUNT, "f" * 32).calls.list(limit=1))


account()
numbers()
keys()
lists(calls())
detection()
lookups()
errors()
print(f"twilio-python {twilio.__version__}: {shapes} resources of the documented shape")
