"""A web application with twilio-python that transfers warmly in both of Twilio's ways: a customer waits in a conference while humans are called by
the API and asked, and a Dial whose Number has a document that asks. It says which phone is to press a key."""
import argparse
import math
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import twilio
from twilio.rest import Client
from twilio.twiml.voice_response import Dial, Gather, VoiceResponse

from checks import check, until

CUSTOMER, ACCEPTS, DECLINES, MACHINE, ABSENT = range(5)

flags = argparse.ArgumentParser()
for name in ["--url", "--account", "--token", "--from", "--phones", "--music", "--whisper"]:
    flags.add_argument(name, required=True)
flags.add_argument("--port", type=int, default=0)
flags = flags.parse_args()
client = Client(flags.account, flags.token, flags.account)
client.api.base_url = flags.url
phones = flags.phones.split(",")
number = getattr(flags, "from")
asked, dialled, judged = {}, [], {}


def say(text):
    print(text, flush=True)


def tone(hz, seconds):
    samples = b"".join(struct.pack("<h", int(8000 * math.sin(math.tau * hz * n / 8000))) for n in range(8000 * seconds))
    head = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVEfmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", len(samples))
    return head + samples


SOUNDS = {"/music.wav": tone(int(flags.music), 10), "/whisper.wav": tone(int(flags.whisper), 1)}


def press(phone):
    """Has the phone press its key once its party has heard the whisper."""
    key = "1" if phone == phones[ACCEPTS] else "2"
    threading.Timer(2.5, say, [f"press {phones.index(phone)} {key}"]).start()


def ask(form):
    """The document of a human: a machine is hung up on."""
    document, phone = VoiceResponse(), form["To"]
    asked[phone] = form.get("AnsweredBy")
    if str(asked[phone]).startswith("machine"):
        document.hangup()
        return document
    press(phone)
    gather = Gather(num_digits=1, timeout=6, action="/chosen")
    gather.play("/whisper.wav")
    document.append(gather)
    document.hangup()
    return document


def chosen(form):
    document = VoiceResponse()
    if form["Digits"] != "1":
        document.hangup()
    elif form["Direction"] == "outbound-api":
        dial = Dial()
        dial.conference("ticket", end_conference_on_exit=True, beep="false")
        document.append(dial)
    return document


def verdict(form):
    """Takes a verdict that is posted; a machine that a Dial has reached is hung up on."""
    judged[form["CallSid"]] = form["AnsweredBy"]
    if form["AnsweredBy"].startswith("machine") and dialled:
        threading.Thread(target=lambda: client.calls(form["CallSid"]).update(status="completed")).start()
    return VoiceResponse()


def next_human(form):
    """Dials one human after the other, and keeps what came of each."""
    if "DialCallStatus" in form:
        dialled.append((form["DialCallStatus"], form.get("DialBridged")))
    document, order = VoiceResponse(), [DECLINES, ABSENT, MACHINE, ACCEPTS]
    if len(dialled) < len(order):
        dial = Dial(action="/next", timeout=3)
        phone = phones[order[len(dialled)]]
        dial.number(phone, url="/ask", machine_detection="Enable", amd_status_callback="/verdict")
        document.append(dial)
    return document


PAGES = {"/verdict": verdict, "/ask": ask, "/chosen": chosen, "/next": next_human}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer("audio/wav", SOUNDS[urlparse(self.path).path])

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(text).items()}
        path = urlparse(self.path).path
        if path in SOUNDS:
            return self.answer("audio/wav", SOUNDS[path])
        self.answer("text/xml", str(PAGES[path](form)).encode())

    def log_message(self, *_):
        pass


def status(call):
    return client.calls(call.sid).fetch().status


def by_conference(base):
    waiting = VoiceResponse()
    dial = Dial()
    dial.conference("ticket", start_conference_on_enter=False, wait_url=f"{base}/music.wav", beep="false")
    waiting.append(dial)
    customer = client.calls.create(to=phones[CUSTOMER], from_=number, twiml=str(waiting))
    until("the customer waits", lambda: client.conferences.list(friendly_name="ticket"))
    humans = {}
    for human in [DECLINES, MACHINE, ABSENT]:
        humans[human] = client.calls.create(
            to=phones[human], from_=number, url=f"{base}/ask", machine_detection="Enable", timeout=3
        )
    until("none of them has taken it", lambda: all(status(call) in ("completed", "no-answer") for call in humans.values()))
    found = {human: status(call) for human, call in humans.items()}
    check(found == {DECLINES: "completed", MACHINE: "completed", ABSENT: "no-answer"}, f"what came of them: {found}")
    check(asked[phones[DECLINES]] == "human" and asked[phones[MACHINE]] == "machine_start", f"who has answered: {asked}")
    check(status(customer) == "in-progress", "the customer waits on")
    client.calls.create(to=phones[ACCEPTS], from_=number, url=f"{base}/ask", machine_detection="Enable", timeout=3)
    conference = client.conferences.list(friendly_name="ticket")[0]
    until("the human is there", lambda: client.conferences(conference.sid).fetch().status == "in-progress")
    time.sleep(4)
    client.conferences(conference.sid).update(status="completed")
    until("the customer is free", lambda: status(customer) == "completed")


def by_participant(base):
    """One that is called as a participant joins without delay, and is judged there."""
    hall = client.conferences("hall").participants
    party = hall.create(
        to=phones[DECLINES], from_=number, machine_detection="Enable", amd_status_callback=f"{base}/verdict", wait_url="", beep="false"
    )
    until("the participant is judged", lambda: party.call_sid in judged)
    check(judged[party.call_sid] == "human", f"who has answered: {judged}")
    conference = client.conferences.list(friendly_name="hall", status="init")[0]
    check(client.conferences(conference.sid).participants(party.call_sid).fetch().status == "connected", "it is there")
    client.calls(party.call_sid).update(status="completed")


def by_dial(base):
    customer = client.calls.create(to=phones[CUSTOMER], from_=number, url=f"{base}/next")
    until("three have not taken it", lambda: len(dialled) == 3)
    check(dialled == [("completed", "false"), ("no-answer", "false"), ("completed", "false")], f"results of Dial: {dialled}")
    check("machine_start" in judged.values(), f"who has answered: {judged}")
    until("the third one is asked", lambda: asked.pop(phones[ACCEPTS], 0) is None)
    time.sleep(6)
    check(status(customer) == "in-progress", "they are connected")
    client.calls(customer.sid).update(status="completed")
    until("its action is requested", lambda: len(dialled) == 4)
    check(dialled[3] == ("completed", "true"), f"results of Dial: {dialled}")


def main():
    # A connection that is given up is no error.
    ThreadingHTTPServer.handle_error = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", flags.port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    say(f"listening on 127.0.0.1:{server.server_port}")
    base = f"http://127.0.0.1:{server.server_port}"
    by_conference(base)
    asked.clear()
    say("conference")
    by_participant(base)
    by_dial(base)
    say(f"done: twilio-python {twilio.__version__}")


main()
