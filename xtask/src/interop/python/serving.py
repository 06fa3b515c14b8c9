"""What servers of interop cases share: an application behind uvicorn."""
import asyncio

import uvicorn


async def serve(app, port, **settings):
    """Serves an application on loopback, says where, and does not return while it runs."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", **settings))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    host, chosen = server.servers[0].sockets[0].getsockname()
    print(f"listening on {host}:{chosen}", flush=True)
    await task
