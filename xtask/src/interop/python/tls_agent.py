"""An echo agent behind TLS: its certificate is for localhost and 127.0.0.1, of an authority made for this run alone,
which it writes to the file named by --ca. With --token the handshake is judged by Twilio's own RequestValidator."""
import argparse
import asyncio
import json
import ssl

import trustme
from twilio.request_validator import RequestValidator
from websockets.asyncio.server import serve


async def talk(socket):
    async for text in socket:
        message = json.loads(text)
        if message["event"] == "media":
            answer = {"event": "media", "streamSid": message["streamSid"], "media": {"payload": message["media"]["payload"]}}
            await socket.send(json.dumps(answer))


async def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--port", type=int, default=0)
    flags.add_argument("--ca", required=True)
    flags.add_argument("--token")
    flags = flags.parse_args()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(flags.ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)

    def judge(connection, request):
        url = f"wss://{request.headers['Host']}{request.path}"
        signature = request.headers.get("X-Twilio-Signature", "")
        if flags.token and not RequestValidator(flags.token).validate(url, {}, signature):
            print(f"signature refused: {url} {signature}", flush=True)
            return connection.respond(403, "")
        print("signature accepted", flush=True)
        return None

    async with serve(talk, "127.0.0.1", flags.port, ssl=context, compression=None, process_request=judge) as server:
        print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


asyncio.run(main())
