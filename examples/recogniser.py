"""A speech recogniser for Trunkgate: Vosk behind the WebSocket protocol of docs/configure/recognition.md.

pip install websockets vosk; ASR_TOKEN=secret python recogniser.py
"""
import argparse
import asyncio
import http
import json
import os

from vosk import KaldiRecognizer, Model
from websockets.asyncio.server import serve

MODELS = {"en": Model(lang="en-us")}  # one for each language that documents name


def refusal(connection, request):
    """Refuses a client without the `token` of [recognition]."""
    if request.headers.get("Authorization") != f"Bearer {os.environ['ASR_TOKEN']}":
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "wrong token\n")


def result(text, words=(), is_final=False):
    alternative = {"transcript": text}
    if words:
        alternative["confidence"] = sum(word["conf"] for word in words) / len(words)
    return json.dumps({"type": "transcription", "is_final": is_final, "alternatives": [alternative]})


async def session(socket):
    start = json.loads(await socket.recv())
    model = MODELS.get(start["language"].split("-")[0])
    if model is None:
        await socket.send(json.dumps({"type": "error", "error": f"no model for {start['language']}"}))
        return
    recogniser, before = KaldiRecognizer(model, start["sampleRateHz"]), ""
    recogniser.SetWords(True)
    async for message in socket:
        if isinstance(message, str):  # {"type": "stop"}: the server closes
            break
        if await asyncio.to_thread(recogniser.AcceptWaveform, message):
            found = json.loads(recogniser.Result())
            if found["text"]:
                await socket.send(result(found["text"], found.get("result", ()), is_final=True))
            before = ""
        else:
            text = json.loads(recogniser.PartialResult())["partial"]
            if text and text != before:
                await socket.send(result(text))
                before = text


async def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--port", type=int, default=2700)
    async with serve(session, "127.0.0.1", flags.parse_args().port, process_request=refusal) as server:
        print("listening on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
