"""asyncio_wait.py: waits for descriptors that it has inherited, in asyncio's event loop.

Each line of standard input names one to wait for; a line of output tells that it is readable, and that
it is waited for no more.  Ends with its input.
"""

import asyncio
import os


async def main():
    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def tell(descriptor):
        loop.remove_reader(descriptor)
        print(descriptor, flush=True)

    def take():
        words = os.read(0, 4096).split()
        if not words and not over.done():
            over.set_result(None)
        for word in words:
            loop.add_reader(int(word), tell, int(word))

    loop.add_reader(0, take)
    await over


asyncio.run(main())
