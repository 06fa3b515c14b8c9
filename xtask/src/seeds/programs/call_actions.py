"""Actions of an agent platform by plain HTTP: make_call, list_calls and get_recording. Results are judged by the JSON Schemas of the platform's own page;
what the API refuses becomes success = false with its error."""
import json
import os
import sys

import jsonschema
import requests

account, token = os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"]
base = f"{os.environ['TWILIO_BASE_URL']}/2010-04-01/Accounts/{account}"


def ask(method, path, **given):
    response = requests.request(method, f"{base}{path}", auth=(account, token), timeout=10, **given)
    body = response.json()
    if response.status_code >= 400:
        raise ValueError(f"{body['code']}: {body['message']}")
    return body


def named(call):
    return {"call_sid": call["sid"], "from_": call["from"]} | {
        name: call[name] for name in ["status", "direction", "to", "price", "price_unit"]
    }


def seconds(call):
    return None if call["duration"] is None else int(call["duration"])


def make_call(to, from_, account_sid, record=False, timeout=60, **others):
    names = {
        "url": "Url", "twiml": "Twiml", "status_callback": "StatusCallback", "status_callback_method": "StatusCallbackMethod",
        "recording_status_callback": "RecordingStatusCallback", "machine_detection": "MachineDetection",
    }
    form = {"To": to, "From": from_, "Timeout": timeout} | {names[name]: value for name, value in others.items()}
    if record:
        form["Record"] = "true"
    call = ask("POST", "/Calls.json", data=form)
    return named(call) | {"duration": seconds(call)}


def list_calls(account_sid, page_size=50, include_recordings=True, **others):
    names = {
        "to": "To", "from_": "From", "status": "Status", "start_time_after": "StartTime>", "start_time_before": "StartTime<",
    }
    query = {"PageSize": page_size} | {names[name]: value for name, value in others.items()}
    page = ask("GET", "/Calls.json", params=query)
    rows = []
    for call in page["calls"]:
        found = ask("GET", f"/Calls/{call['sid']}/Recordings.json")["recordings"] if include_recordings else []
        times = {name: call[name] for name in ["start_time", "end_time", "date_created"]}
        rows.append(named(call) | times | {"duration": seconds(call), "recording_sids": [one["sid"] for one in found]})
    return {"calls": rows, "total": len(rows), "page": page["page"], "page_size": page["page_size"]}


def get_recording(account_sid, recording_sid):
    recording = ask("GET", f"/Recordings/{recording_sid}.json")
    names = ["call_sid", "status", "channels", "source", "media_url", "price", "price_unit", "uri"]
    texts = ask("GET", f"/Recordings/{recording_sid}/Transcriptions.json")["transcriptions"]
    names_of_text = {"text": "transcription_text", "status": "status", "price": "price", "price_unit": "price_unit"}
    text = {f"transcription_{name}": texts[0].get(field) for name, field in names_of_text.items()} if texts else {}
    return {name: recording[name] for name in names} | {"recording_sid": recording["sid"], "duration": seconds(recording)} | text


action, given, schema = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
try:
    result = {"success": True} | {"make_call": make_call, "list_calls": list_calls, "get_recording": get_recording}[action](account_sid=account, **given)
except ValueError as error:
    result = {"success": False, "error": str(error)}
jsonschema.validate(result, schema)
print(json.dumps(result))
