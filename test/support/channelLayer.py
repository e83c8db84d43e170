"""
A process of Django's as far as its channel layer goes: a consumer's channel, in the groups that it is told, over the
layer `pubsub` or `queue`.

    python3 channelLayer.py pubsub redis://127.0.0.1:6379

It reads a command a line from its standard input, a value of JSON, and answers each with a line:

    ["add", GROUP]              the channel is in the group          "added"
    ["send", GROUP, MESSAGE]    group_send                           "sent"
    ["receive"]                 waits for the channel's next         MESSAGE

Bytes in a message are {"bytes": HEX} on these lines.
"""

import asyncio
import json
import sys


def read(value):
    if isinstance(value, dict):
        if set(value) == {"bytes"}:
            return bytes.fromhex(value["bytes"])
        return {name: read(inner) for name, inner in value.items()}
    return [read(inner) for inner in value] if isinstance(value, list) else value


def shown(value):
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, dict):
        return {name: shown(inner) for name, inner in value.items()}
    return [shown(inner) for inner in value] if isinstance(value, list) else value


def layer_of(kind, url):
    if kind == "pubsub":
        from channels_redis.pubsub import RedisPubSubChannelLayer

        return RedisPubSubChannelLayer(hosts=[url])
    from channels_redis.core import RedisChannelLayer

    return RedisChannelLayer(hosts=[url], capacity=3)


async def main(kind, url):
    layer = layer_of(kind, url)
    channel = await layer.new_channel()
    loop = asyncio.get_running_loop()
    print(json.dumps("ready"), flush=True)
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            return
        do, *arguments = read(json.loads(line))
        if do == "add":
            await layer.group_add(arguments[0], channel)
            answer = "added"
        elif do == "send":
            await layer.group_send(*arguments)
            answer = "sent"
        else:
            answer = shown(await layer.receive(channel))
        print(json.dumps(answer), flush=True)


asyncio.run(main(*sys.argv[1:]))
