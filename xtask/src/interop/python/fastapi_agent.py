"""An agent as FastAPI's and Twilio's own examples write it, served by uvicorn: it reads until `stop` or the end, one message
at a time, some work between two, and says which of the two it was told of."""
import argparse
import asyncio

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from serving import serve

flags = argparse.ArgumentParser()
flags.add_argument("--port", type=int, default=0)
flags.add_argument("--leave-after", type=int, default=0, help="frames after which it closes by itself")
flags = flags.parse_args()
app = FastAPI()


@app.websocket("/media")
async def media(socket: WebSocket):
    await socket.accept()
    frames = 0
    try:
        while True:
            message = await socket.receive_json()
            if message["event"] == "media":
                frames += 1
                if frames == flags.leave_after:
                    return await socket.close()
                # Behind by a few messages at the end, as who asks a model is.
                await asyncio.sleep(0.019)
                await socket.send_json({"event": "media", "streamSid": message["streamSid"], "media": message["media"]})
            elif message["event"] == "stop":
                print("told of the end by stop", flush=True)
    except WebSocketDisconnect as end:
        print(f"closed with {end.code}", flush=True)


asyncio.run(serve(app, flags.port))
