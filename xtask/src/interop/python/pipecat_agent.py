"""Pipecat, unmodified, as the agent: its parser of telephony WebSockets takes the stream, its TwilioFrameSerializer turns
every message into a frame of linear audio and back. The handshake is judged by Twilio's own RequestValidator."""
import argparse
import asyncio
import sys

from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.frames.frames import EndFrame, InputAudioRawFrame, InputDTMFFrame, OutputAudioRawFrame
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from twilio.request_validator import RequestValidator

from serving import serve

flags = argparse.ArgumentParser()
flags.add_argument("--port", type=int, default=0)
flags.add_argument("--token", required=True)
flags.add_argument("--api", help="base URL of the API: after a second of audio the bot ends its pipeline, which hangs up")
flags.add_argument("--account", help="SID of the account, for the API")
flags = flags.parse_args()
logger.remove()
logger.add(sys.stderr, level="WARNING")
app = FastAPI()


class Setup:
    """The one field of pipecat's FrameProcessorSetup that the serializer reads."""

    audio_in_sample_rate = 8000


def say(text):
    print(text, flush=True)


@app.websocket("/media")
async def media(socket: WebSocket):
    url = f"ws://{socket.headers['host']}{socket.url.path}"
    signature = socket.headers.get("x-twilio-signature", "")
    if not RequestValidator(flags.token).validate(url, {}, signature):
        say(f"signature refused: {url} {signature}")
        await socket.close(code=1008)
        return
    say("signature accepted")
    await socket.accept()
    transport, call = await parse_telephony_websocket(socket)
    say(f"parsed: {transport} {call.stream_id} {call.call_id} {dict(call.body)}")
    if flags.api:
        serializer = TwilioFrameSerializer(
            stream_sid=call.stream_id,
            call_sid=call.call_id,
            account_sid=flags.account,
            auth_token=flags.token,
            base_url=flags.api,
        )
    else:
        serializer = TwilioFrameSerializer(
            stream_sid=call.stream_id, params=TwilioFrameSerializer.InputParams(auto_hang_up=False)
        )
    await serializer.setup(Setup())
    frames = 0
    async for text in socket.iter_text():
        frame = await serializer.deserialize(text)
        if isinstance(frame, InputAudioRawFrame):
            frames += 1
            if flags.api and frames == 50:
                await serializer.serialize(EndFrame())
            answer = OutputAudioRawFrame(audio=frame.audio, sample_rate=frame.sample_rate, num_channels=1)
            await socket.send_text(await serializer.serialize(answer))
        elif isinstance(frame, InputDTMFFrame):
            say(f"key: {frame.button.value}")
    say(f"ended after {frames} frames, code {socket.client_state.name}")


asyncio.run(serve(app, flags.port))
