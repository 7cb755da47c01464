"""pickle_peer.py: the Python side of test_pickle_python.c.

    pickle_peer.py ask SEED COUNT       sends values, checks what comes back
    pickle_peer.py answer               checks what comes, sends it back

A message is a pickle and the words for it, each with its length before it.  Whatever differs is
printed with the seed, and ends the program with 1.
"""

import array
import pickle
import queue
import random
import struct
import sys
from multiprocessing import managers

TEXT = [chr(c) for c in range(32, 127)] + list("\n\r\t\\'\"\0\x1b\u00e9\u0394\u20ac\ud7a3\U0001f600")
FLOATS = [0.0, -0.0, 1.5, 1e300, -1e-300, 1e15, 1e16, 123456789012345680.0, 1e-4, 1e-5, 5e-324, float("inf")]
ERRORS = [ValueError, KeyError, IndexError, StopIteration, RuntimeError, queue.Full, queue.Empty]


def scalar(rng):
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.randrange(-300, 70000)
    if kind == 2:
        bits = rng.randrange(1, 200)
        return rng.randrange(-(2**bits), 2**bits + 1)
    if kind == 3:
        return rng.choice(FLOATS + [rng.random(), rng.uniform(-1e20, 1e20)])
    if kind == 4:
        return bytes(rng.randrange(256) for _ in range(rng.choice([0, 1, 13, 14, 255, 256, 300])))
    if kind == 5:
        return complex(rng.choice(FLOATS), rng.choice(FLOATS))
    return "".join(rng.choice(TEXT) for _ in range(rng.choice([0, 1, 5, 12, 13, 14, 15, 40, 255, 256, 300])))


def plain(rng):
    """Values that cannot be keys."""
    kind = rng.randrange(5)
    if kind == 0:
        return bytearray(b"bytes" * rng.randrange(9))
    if kind == 1:
        return slice(rng.choice([None, 1, -5]), rng.choice([None, 7]), rng.choice([None, 2**70]))
    if kind == 2:
        return range(rng.randrange(9), rng.randrange(90), rng.choice([1, 2, -1]))
    if kind == 3:
        return array.array(rng.choice("bBhHiIlLqQfd"), [rng.randrange(100) for _ in range(rng.randrange(5))])
    return rng.choice(ERRORS)(*[scalar(rng) for _ in range(rng.randrange(3))])


def key(rng):
    return scalar(rng) if rng.random() < 0.8 else tuple(scalar(rng) for _ in range(rng.randrange(4)))


def value(rng, depth):
    if depth == 0 or rng.random() < 0.3:
        return scalar(rng) if rng.random() < 0.7 else plain(rng)
    kind, size = rng.randrange(6), rng.choice([0, 1, 2, 3, 4, 10, 30])
    if kind == 0:
        return tuple(value(rng, depth - 1) for _ in range(size))
    if kind == 1:
        return {key(rng): value(rng, depth - 1) for _ in range(size)}
    if kind == 2:
        return {key(rng) for _ in range(size)}
    if kind == 3:
        return frozenset(key(rng) for _ in range(size))
    if kind == 4:
        twice = value(rng, depth - 1)
        return [twice, (twice, twice), {"again": twice}]
    return [value(rng, depth - 1) for _ in range(size)]


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, BaseException):
        return same(a.args, b.args)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) and same(a[x], b[y]) for x, y in zip(a, b))
    return a == b


def has_order(v):
    """Whether two programs print it in the same order."""
    if isinstance(v, (set, frozenset)):
        return len(v) < 2
    if isinstance(v, dict):
        return all(has_order(part) for pair in v.items() for part in pair)
    if isinstance(v, BaseException):
        return sys.version_info >= (3, 7) and has_order(v.args)  # 3.6 prints a comma more
    return not isinstance(v, (list, tuple)) or all(map(has_order, v))


def send(*parts):
    for part in parts:
        sys.stdout.buffer.write(struct.pack("<I", len(part)) + part)
    sys.stdout.buffer.flush()


def receive():
    size = struct.unpack("<I", sys.stdin.buffer.read(4))[0]
    return sys.stdin.buffer.read(size)


def fail(what, *details):
    sys.exit("\n".join([what] + [str(detail)[:2000] for detail in details]))


def ask(seed, count):
    rng = random.Random(seed)
    for number in range(count):
        sent = value(rng, 4)
        where = "seed %d, value %d" % (seed, number)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            send(pickle.dumps(sent, protocol))
            got, words = receive(), receive().decode("utf-8", "surrogatepass")
            if not got:
                fail(where, "protocol %d was refused: %s" % (protocol, words), repr(sent))
            if not same(sent, pickle.loads(got)):
                fail(where, "protocol %d came back otherwise" % protocol, repr(sent), repr(pickle.loads(got)))
            if has_order(sent) and repr(sent) != words:
                fail(where, "protocol %d is printed otherwise" % protocol, repr(sent), words)


def answer():
    while True:
        got, words = receive(), receive().decode("utf-8", "surrogatepass")
        if not got:
            return
        v = pickle.loads(got)
        if has_order(v) and repr(v) != words:
            fail("printed otherwise", repr(v), words)
        send(pickle.dumps(v))


# What managers exchange, with the state that each kind has.
def special():
    namespace = managers.Namespace(x=10, name="n")
    token = managers.Token("dict", ("127.0.0.1", 5000), "7f00")
    attribute = AttributeError("no attribute")
    attribute.note = "with a state"
    for sent in [namespace, token, attribute, managers.RemoteError("text"), OSError(2, "No such file")]:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            send(pickle.dumps(sent, protocol))
            got, words = receive(), receive().decode()
            if not got:
                fail(repr(sent), words)
            back = pickle.loads(got)
            state = [getattr(v, "__dict__", None) or repr(v) for v in (sent, back)]
            if type(sent) is not type(back) or state[0] != state[1]:
                fail("came back otherwise", repr(sent), repr(back))


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        special()
        ask(int(sys.argv[2]), int(sys.argv[3]))
        send(b"")
    else:
        answer()
