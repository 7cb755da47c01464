"""loop_in_asyncio.py MODULE: runs kin's loop inside of asyncio's, beside a task of asyncio's own."""
import asyncio
import ctypes
import sys
import time

module = ctypes.CDLL(sys.argv[1])


async def main():
    loop = asyncio.get_event_loop()
    over = loop.create_future()
    turns = ticks = 0

    def turn():
        nonlocal turns
        turns += 1
        alive = module.turn()
        if alive <= 0 and not over.done():
            over.set_result(alive)

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    descriptor = module.begin()
    begun = time.monotonic()
    loop.add_reader(descriptor, turn)
    ticking = loop.create_task(tick())
    turn()
    alive = await over
    seconds = time.monotonic() - begun
    ticking.cancel()
    loop.remove_reader(descriptor)
    print(alive, module.end(), turns, ticks, seconds)


asyncio.new_event_loop().run_until_complete(main())
