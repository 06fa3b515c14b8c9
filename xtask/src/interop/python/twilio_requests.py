"""Requests of public programs, as these build them and by their HTTP clients: GoAlert (net/http of Go, written out), Healthchecks (pycurl), Dograh
(aiohttp), and programs from before the present parameters of answering-machine detection. Only the base URL is the edge's."""
import argparse
import asyncio
import base64
import http.client
import io
import json
import sys
import urllib.parse
import urllib.request

import aiohttp
import pycurl

flags = argparse.ArgumentParser()
for name in ["--url", "--account", "--token", "--number", "--to", "--application"]:
    flags.add_argument(name, required=True)
flags = flags.parse_args()
BASE = f"/2010-04-01/Accounts/{flags.account}"
CREDENTIALS = (flags.account, flags.token)
# What Dograh asks to be notified of: the last three are statuses, no events.
DOGRAH_EVENTS = ["initiated", "ringing", "answered", "completed", "busy", "failed", "no-answer"]


def check(who, holds, what):
    if not holds:
        sys.exit(f"{who}: {what}")


def served(who, status, body, expected):
    answer = json.loads(body)
    check(who, status == expected, f"{status} {answer}")
    return answer


def go(path, parameters=None):
    """A request of Go's net/http: parameters in the order of their names, without any an empty body."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(flags.url).netloc)
    body = urllib.parse.urlencode(sorted(parameters or []))
    authorization = base64.b64encode(":".join(CREDENTIALS).encode()).decode()
    connection.putrequest("POST", BASE + path, skip_accept_encoding=True)
    for name, value in [
        ("User-Agent", "Go-http-client/1.1"),
        ("Content-Length", len(body)),
        ("Authorization", f"Basic {authorization}"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        # GoAlert signs what it sends as well.
        ("X-Twilio-Signature", "c2lnbmF0dXJl"),
        ("Accept-Encoding", "gzip"),
    ]:
        connection.putheader(name, value)
    connection.endheaders(body.encode())
    response = connection.getresponse()
    return response.status, response.read()


def goalert():
    events = [("StatusCallbackEvent", event) for event in ["initiated", "ringing", "answered", "completed"]]
    call = [
        ("To", flags.to),
        ("From", flags.number),
        ("Url", f"{flags.application}/goalert/call?type=alert&msgBody=QQ"),
        ("FallbackUrl", f"{flags.application}/goalert/call?type=alert&msgBody=QQ"),
        ("StatusCallback", f"{flags.application}/goalert/status?msgID=1"),
        ("ValidityPeriod", "10"),
    ]
    made = served("GoAlert, call", *go("/Calls.json", call + events), 201)
    fetched = served("GoAlert, fetch of a call by POST", *go(f"/Calls/{made['sid']}.json"), 200)
    check("GoAlert", fetched["sid"] == made["sid"] and fetched["to"] == flags.to, fetched)
    message = [
        ("To", flags.to),
        ("From", flags.number),
        ("Body", "GoAlert: the disk is full"),
        ("StatusCallback", f"{flags.application}/goalert/message?msgID=2"),
        ("ValidityPeriod", "10"),
    ]
    served("GoAlert, message", *go("/Messages.json", message), 201)


def healthchecks():
    body, curl = io.BytesIO(), pycurl.Curl()
    form = {
        "To": flags.to,
        "Body": "Healthchecks: backup is DOWN",
        "StatusCallback": f"{flags.application}/healthchecks/status",
        "RiskCheck": "disable",
        "From": flags.number,
    }
    for option, value in [
        (pycurl.URL, f"{flags.url}{BASE}/Messages.json".encode()),
        (pycurl.USERPWD, ":".join(CREDENTIALS)),
        (pycurl.HTTPHEADER, [b"User-Agent:healthchecks.io"]),
        (pycurl.POSTFIELDS, urllib.parse.urlencode(form)),
        (pycurl.CUSTOMREQUEST, "POST"),
        (pycurl.WRITEDATA, body),
    ]:
        curl.setopt(option, value)
    curl.perform()
    served("Healthchecks", curl.getinfo(pycurl.RESPONSE_CODE), body.getvalue(), 201)


async def dograh():
    form = {
        "To": flags.to,
        "From": flags.number,
        "Url": f"{flags.application}/dograh/call",
        "StatusCallback": f"{flags.application}/dograh/status",
        "StatusCallbackEvent": DOGRAH_EVENTS,
        "StatusCallbackMethod": "POST",
    }
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{flags.url}{BASE}/Calls.json", data=form, auth=aiohttp.BasicAuth(*CREDENTIALS)) as answer:
            made = served("Dograh", answer.status, await answer.text(), 201)
        async with session.get(f"{flags.url}{BASE}/Calls/{made['sid']}.json", auth=aiohttp.BasicAuth(*CREDENTIALS)) as answer:
            check("Dograh", (await answer.json())["sid"] == made["sid"], "the call is another one")


def old_program():
    form = {"To": flags.to, "From": flags.number, "Url": f"{flags.application}/old/call", "IfMachine": "Continue"}
    request = urllib.request.Request(f"{flags.url}{BASE}/Calls.json", urllib.parse.urlencode(form).encode())
    request.add_header("Authorization", "Basic " + base64.b64encode(":".join(CREDENTIALS).encode()).decode())
    try:
        with urllib.request.urlopen(request) as response:
            served("IfMachine=Continue", response.status, response.read(), 201)
    except urllib.error.HTTPError as error:
        sys.exit(f"IfMachine=Continue: {error.code} {error.read().decode()}")


goalert()
healthchecks()
asyncio.run(dograh())
old_program()
print(f"GoAlert, Healthchecks (pycurl {pycurl.version_info()[1]}), Dograh (aiohttp {aiohttp.__version__}), IfMachine=Continue")
