#!/usr/bin/env python3
"""An agent that echoes the caller's audio, over Twilio's Media Streams protocol.

    pip install websockets && python3 echo_agent.py --port 8765

In trunkgate.toml:  [agent.echo]  url = "ws://127.0.0.1:8765/media"  and in a route  connect = ["agent:echo"]
"""
import argparse
import asyncio
import json

from websockets.asyncio.server import serve

FRAMES_PER_MARK = 50  # one second


async def talk(socket):
    print(f"connection from {socket.remote_address[0]}, path {socket.request.path}", flush=True)
    stream, frames = None, 0
    async for text in socket:
        message = json.loads(text)
        event = message["event"]
        if event == "media":
            if message["media"]["track"] != "inbound":
                continue
            await say(socket, stream, "media", media={"payload": message["media"]["payload"]})
            frames += 1
            # A mark comes back once all audio before it has been played to the caller.
            if frames % FRAMES_PER_MARK == 0:
                await say(socket, stream, "mark", mark={"name": f"second {frames // FRAMES_PER_MARK}"})
        elif event == "start":
            start = message["start"]
            stream = start["streamSid"]
            print(f"start: call {start['callSid']}, {start['mediaFormat']}, {start['customParameters']}", flush=True)
        elif event == "mark":
            print(f"mark: {message['mark']['name']} has been heard", flush=True)
        else:
            # connected, dtmf, stop
            print(f"{event}: {message.get(event, '')}", flush=True)
    print(f"closed with {socket.close_code} after {frames} frames", flush=True)


async def say(socket, stream, event, **fields):
    await socket.send(json.dumps({"event": event, "streamSid": stream, **fields}))


async def main():
    flags = argparse.ArgumentParser(description="echoes the caller's audio")
    flags.add_argument("--host", default="127.0.0.1")
    flags.add_argument("--port", type=int, default=8765, help="0: any; the one that was taken is printed")
    flags = flags.parse_args()
    # Audio does not compress well; Twilio and Trunkgate do not negotiate compression.
    async with serve(talk, flags.host, flags.port, compression=None) as server:
        print(f"listening on {flags.host}:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
