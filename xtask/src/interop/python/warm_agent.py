"""An agent that says a tone and sends its caller on by a warm transfer after a second; when the caller is back it says another tone. With
--pipecat it is pipecat, unmodified: its parser of telephony WebSockets and its TwilioFrameSerializer, behind uvicorn."""
import argparse
import array
import asyncio
import base64
import json
import math
import os
import sys

RATE = 8000
FRAME = 160

flags = argparse.ArgumentParser()
flags.add_argument("--port", type=int, default=0)
flags.add_argument("--pipecat", action="store_true")
flags.add_argument("--warm", required=True, help="`warm` of the transfer")
flags.add_argument("--coached", default="", help="called number for which the agent stays as the party's coach; accepted, it says the second tone")
flags.add_argument("--tones", required=True, help="the first tone and the second one in Hz, with a comma")
flags.add_argument("--folder", required=True, help="where it writes down what it hears, a file of 16 bits for each called number")
flags = flags.parse_args()
first, second = (int(hz) for hz in flags.tones.split(","))


def log(text):
    print(text, flush=True)


def encode(sample):
    """One sample as a code of G.711 mu-law."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 0x0F) & 0xFF


def decode(code):
    code = ~code & 0xFF
    magnitude = ((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)
    return magnitude - 0x84 if code & 0x80 == 0 else 0x84 - magnitude


class Plain:
    """Media of the protocol as it stands."""

    def __init__(self, stream):
        self.stream = stream

    async def audio_of(self, message):
        if message["event"] != "media":
            return None
        codes = base64.b64decode(message["media"]["payload"])
        return array.array("h", [decode(code) for code in codes]).tobytes()

    async def message_of(self, samples):
        payload = base64.b64encode(bytes(encode(sample) for sample in samples)).decode()
        return json.dumps({"event": "media", "streamSid": self.stream, "media": {"payload": payload}})


class Pipecat:
    """The same by pipecat's serializer."""

    audio_in_sample_rate = RATE

    def __init__(self, stream):
        from pipecat.serializers.twilio import TwilioFrameSerializer

        parameters = TwilioFrameSerializer.InputParams(auto_hang_up=False)
        self.serializer = TwilioFrameSerializer(stream_sid=stream, params=parameters)

    async def audio_of(self, message):
        from pipecat.frames.frames import InputAudioRawFrame

        frame = await self.serializer.deserialize(json.dumps(message))
        return frame.audio if isinstance(frame, InputAudioRawFrame) else None

    async def message_of(self, samples):
        from pipecat.frames.frames import OutputAudioRawFrame

        audio = array.array("h", samples).tobytes()
        return await self.serializer.serialize(OutputAudioRawFrame(audio=audio, sample_rate=RATE, num_channels=1))


class Talk:
    """One call."""

    def __init__(self, coder, called, send):
        self.coder, self.called, self.send = coder, called, send
        self.hz, self.said, self.frames = first, 0, 0
        self.heard = open(os.path.join(flags.folder, called.strip("+")), "wb")

    async def speak(self):
        # By a clock: pauses of a frame each would make it slower than time, and the caller would hear gaps.
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            at = range(self.said, self.said + FRAME)
            samples = [int(8000 * math.sin(math.tau * self.hz * n / RATE)) for n in at]
            self.said += FRAME
            await self.send(await self.coder.message_of(samples))
            await asyncio.sleep(max(0, began + self.said / RATE - clock()))

    async def take(self, message):
        audio = await self.coder.audio_of(message)
        if audio is not None:
            self.heard.write(audio)
            self.heard.flush()
            self.frames += 1
            if self.frames == 50:
                target = f"trunk:phone{self.called[-1]}/{self.called}"
                warm = dict(json.loads(flags.warm), coach=self.called == flags.coached)
                await self.send(json.dumps({"event": "transfer", "target": target, "warm": warm}))
        elif message["event"] == "transferAccepted":
            self.hz = second
            log(f"coach {self.called}: {message['transferAccepted']['role']}")
        elif message["event"] == "transferFailed":
            self.hz = second
            log(f"back {self.called}: {message['transferFailed']['reason']}")
        elif message["event"] == "stop":
            log(f"stop {self.called}")


async def converse(talk, messages):
    speaks = asyncio.create_task(talk.speak())
    try:
        async for text in messages:
            await talk.take(json.loads(text))
    finally:
        speaks.cancel()


async def plain():
    from websockets.asyncio.server import serve

    async def media(socket):
        while (message := json.loads(await socket.recv()))["event"] != "start":
            pass
        start = message["start"]
        await converse(Talk(Plain(start["streamSid"]), start["customParameters"]["called"], socket.send), socket)

    async with serve(media, "127.0.0.1", flags.port, compression=None) as server:
        log(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()


async def by_pipecat():
    from fastapi import FastAPI, WebSocket
    from loguru import logger
    from pipecat.runner.utils import parse_telephony_websocket
    from serving import serve

    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    app = FastAPI()

    async def media(socket: WebSocket):
        await socket.accept()
        _transport, call = await parse_telephony_websocket(socket)
        coder = Pipecat(call.stream_id)
        await coder.serializer.setup(coder)
        await converse(Talk(coder, dict(call.body)["called"], socket.send_text), socket.iter_text())
        await socket.close()

    app.websocket("/media")(media)
    await serve(app, flags.port)


asyncio.run(by_pipecat() if flags.pipecat else plain())
