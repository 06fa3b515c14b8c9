"""A web application in FastAPI whose every request is judged by twilio-python's RequestValidator, by the URL as the application sees it.
Its menu leads through a Gather, a Dial with a whisper and call progress, and a Redirect, by POST and GET, with query strings and credentials.
Every path below /twiml/ and /docs/ speaks one text; one that ends in /twilio-sms replies to a message; /turns talks turn by turn."""
import argparse
import asyncio
import base64
import json

from fastapi import FastAPI, Request, Response
from twilio.request_validator import RequestValidator
from twilio.twiml.messaging_response import MessagingResponse
from twilio.twiml.voice_response import Dial, Gather, VoiceResponse

from serving import serve

flags = argparse.ArgumentParser()
flags.add_argument("--port", type=int, default=0)
flags.add_argument("--token", required=True)
flags = flags.parse_args()
app = FastAPI()
validator = RequestValidator(flags.token)
CREDENTIALS = "Basic " + base64.b64encode(b"ann:s3 cret").decode()


def document(path, public, method, values):
    if path.endswith("/twilio-sms"):
        reply = MessagingResponse()
        reply.message("We are open from 9 to 5.")
        return str(reply)
    response = VoiceResponse()
    if path.startswith(("/twiml/", "/docs/")):
        response.say(values.get("say", "Welcome to the call."), voice=values.get("voice", "Polly.Joanna"))
    elif path == "/voice":
        gather = Gather(num_digits=1, timeout=8, action=f"/gather?step=1&name=J%C3%B6rg+K&by={method}", method=method)
        gather.say("Press any key.")
        response.append(gather)
    elif path == "/gather":
        action = public.replace("://", "://ann:s3%20cret@") + f"/dialled?after=gather&by={method}"
        dial = Dial(action=action, method=method, timeout=15)
        dial.number(
            "+14155550199",
            url="/whisper?for=party",
            method=method,
            status_callback="/progress?n=1&m=a%20b",
            status_callback_method=method,
            status_callback_event="initiated ringing answered completed",
        )
        response.append(dial)
    elif path == "/dialled":
        response.redirect("/again?a=b&a=c", method="GET" if method == "POST" else "POST")
    elif path == "/again":
        response.hangup()
    elif path == "/turns":
        said = values.get("SpeechResult")
        if said != "goodbye":
            gather = Gather(
                input="speech", speech_timeout="auto", action="/turns", hints="hours, goodbye", partial_result_callback="/partial"
            )
            gather.say(f"You said: {said}" if said else "How can I help you?", voice="Polly.Joanna")
            response.append(gather)
    elif path == "/fallback":
        response.reject(reason="busy")
    return str(response)


@app.api_route("/{rest:path}", methods=["GET", "POST"])
async def hook(request: Request):
    form = await request.form()
    path, query = request.scope["raw_path"].decode(), request.scope["query_string"].decode()
    public = request.headers.get("x-forwarded-proto", "http") + "://" + request.headers["host"]
    url = public + path + ("?" + query if query else "")
    good = validator.validate(url, form, request.headers.get("x-twilio-signature", ""))
    if path == "/dialled" or path == "/voice":
        good = good and request.headers.get("authorization") == CREDENTIALS
    values = {**request.query_params, **form}
    word = "accepted" if good else "refused"
    print(f"{word} {request.method} {path} {url} {json.dumps(values, separators=(',', ':'))}", flush=True)
    if not good:
        return Response("Invalid Twilio signature", status_code=403)
    if path == "/broken":
        return Response("it is broken", status_code=500)
    return Response(document(path, public, values.get("by", "POST"), values), media_type="text/xml")


asyncio.run(serve(app, flags.port, proxy_headers=False))
