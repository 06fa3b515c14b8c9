#!/usr/bin/env python3
"""An agent that takes turns: it waits until the caller has finished, plays the same audio back, and stops when interrupted.

    pip install websockets && python3 parrot_agent.py --port 8765

It contains only the protocol side of a bot: replace `answer` with a model.
In trunkgate.toml:  [agent.parrot]  url = "ws://127.0.0.1:8765/media"  and in a route  connect = ["agent:parrot"]
To try it without a phone:  trunkgate agent test ws://127.0.0.1:8765/media
"""
import argparse
import asyncio
import base64
import json

from websockets.asyncio.server import serve

FRAME = 160  # bytes of μ-law in 20 ms
PAUSE = 25  # frames of silence that end a turn: half a second
LONGEST = 120  # frames kept of one turn; of longer speech, the newest
QUIET = 400  # levels below this are silence; maximum 32124
PIECE = 20 * FRAME  # bytes of an answer between two marks: 400 ms


def level(code):
    """How loud a sample of μ-law is (ITU-T G.711)."""
    code = ~code & 0xFF
    return ((((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84


LEVELS = [level(code) for code in range(256)]


class Call:
    def __init__(self, socket):
        self.socket = socket
        self.stream = None
        self.turn = []  # what the caller has said, frame by frame
        self.silence = 0
        self.unheard = set()  # marks that have not come back: the caller still hears us

    async def say(self, event, **fields):
        await self.socket.send(json.dumps({"event": event, "streamSid": self.stream, **fields}))

    async def hear(self, frame):
        is_voice = sum(LEVELS[code] for code in frame) > QUIET * len(frame)
        self.silence = 0 if is_voice else self.silence + 1
        if is_voice and self.unheard:
            # Interrupted. The marks of what was not heard come back at once: they no longer count.
            print(f"interrupted, {len(self.unheard)} pieces unheard", flush=True)
            self.unheard.clear()
            await self.say("clear")
        if is_voice or self.turn:
            self.turn = [*self.turn, frame][-LONGEST - PAUSE :]
        if self.turn and self.silence >= PAUSE:
            said, self.turn = b"".join(self.turn[:-PAUSE]), []
            await self.answer(said)

    async def answer(self, said):
        """All at once: the edge plays it in time. Each mark comes back when what is before it has been heard."""
        print(f"answer: {len(said) / 8:.0f} ms", flush=True)
        for at in range(0, len(said), PIECE):
            await self.say("media", media={"payload": base64.b64encode(said[at : at + PIECE]).decode()})
            name = f"{at // PIECE}"
            self.unheard.add(name)
            await self.say("mark", mark={"name": name})


async def talk(socket):
    call = Call(socket)
    async for text in socket:
        message = json.loads(text)
        match message["event"]:
            case "start":
                call.stream = message["start"]["streamSid"]
                print(f"start: call {message['start']['callSid']}", flush=True)
            case "media":
                await call.hear(base64.b64decode(message["media"]["payload"]))
            case "mark":
                call.unheard.discard(message["mark"]["name"])
    print(f"closed with {socket.close_code}", flush=True)


async def main():
    flags = argparse.ArgumentParser(description="plays back what the caller has said")
    flags.add_argument("--host", default="127.0.0.1")
    flags.add_argument("--port", type=int, default=8765, help="0: any; the one that was taken is printed")
    flags = flags.parse_args()
    # Audio does not compress well; Twilio and Trunkgate do not negotiate compression.
    async with serve(talk, flags.host, flags.port, compression=None) as server:
        print(f"listening on {flags.host}:{server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.Future()


if __name__ == "__main__":
    asyncio.run(main())
