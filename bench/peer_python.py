"""peer_python.py: Python's multiprocessing and other pools of Python's, measured by themselves.  Prints the seconds.

    peer_python.py lock|semaphore|condition|barrier|event PROCESSES COUNT
    peer_python.py array PROCESSES ITEMS COUNT
    peer_python.py queue SIZE PRODUCERS CONSUMERS COUNT
    peer_python.py trip queue|pipe CPU CPU COUNT
    peer_python.py pipe SIZE COUNT
    peer_python.py connect COUNT
    peer_python.py wait THINGS COUNT
    peer_python.py process fork|forkserver|spawn MEGABYTES COUNT
    peer_python.py subprocess call|output|large MEGABYTES COUNT
    peer_python.py pool map|map1|unordered|unordered1|window|large|threads|stream|open COUNT
    peer_python.py executor processes|threads|mpi map|map1|window|large COUNT
    peer_python.py joblib map|map1 COUNT
    peer_python.py pickle dumps|loads list|dict|bytes|request COUNT
    peer_python.py hash FILE_OF_NAMES
    peer_python.py true COUNT

Only the standard library is used, but for joblib and, for an executor by MPI, mpi4py; the latter is run by
"mpirun -n 3 python3 -m mpi4py.futures peer_python.py ...".
"""

import collections
import concurrent.futures
import hashlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.pool
import os
import pickle
import subprocess
import sys
import time

fork = multiprocessing.get_context("fork")
now = time.monotonic


def together(works):
    """Runs functions in processes of their own; the seconds from their common beginning."""
    gate = fork.Barrier(len(works) + 1)

    def run(work):
        gate.wait()
        work()

    processes = [fork.Process(target=run, args=(work,)) for work in works]
    for process in processes:
        process.start()
    gate.wait()
    begin = now()
    for process in processes:
        process.join()
    seconds = now() - begin
    if any(process.exitcode for process in processes):
        sys.exit("a process failed")
    return seconds


def lock(processes, count, make=fork.Lock):
    processes, count = int(processes), int(count)
    each = -(-count // processes)
    guard = make()
    counter = fork.RawValue("l", 0)

    def work():
        for _ in range(each):
            with guard:
                counter.value += 1

    seconds = together([work] * processes)
    assert counter.value == each * processes
    return seconds


def condition(processes, count):
    """Two in turns, or more of them all at once; see condition.h."""
    processes, count = int(processes), int(count)
    changed = fork.Condition(fork.Lock())
    number, arrived = fork.RawValue("l", 0), fork.RawValue("i", 0)

    def in_turns(index):
        for _ in range(count):
            with changed:
                while number.value % 2 != index:
                    changed.wait()
                number.value += 1
                changed.notify()

    def at_once():
        for turn in range(count):
            with changed:
                arrived.value += 1
                if arrived.value == processes:
                    arrived.value = 0
                    number.value += 1
                    changed.notify_all()
                while number.value == turn:
                    changed.wait()

    if processes == 2:
        seconds = together([lambda: in_turns(0), lambda: in_turns(1)])
    else:
        seconds = together([at_once] * processes)
    assert number.value == count * (2 if processes == 2 else 1)
    return seconds


def array(processes, items, count):
    """Counts a Value up under its lock or, with ITEMS, sums an Array."""
    processes, items, count = int(processes), int(items), int(count)
    if items > 0:
        numbers = fork.Array("l", range(items))
        begin = now()
        total = 0
        for _ in range(count):
            total += sum(numbers.get_obj())
        seconds = now() - begin
        assert total == count * (items * (items - 1) // 2)
        return seconds
    each = -(-count // processes)
    cell = fork.Value("l", 0)

    def work():
        for _ in range(each):
            with cell.get_lock():
                cell.value += 1

    seconds = together([work] * processes)
    assert cell.value == each * processes
    return seconds


def semaphore(processes, count):
    return lock(processes, count, fork.Semaphore)


def barrier(processes, count):
    processes, count = int(processes), int(count)
    place = fork.Barrier(processes)

    def work():
        for _ in range(count):
            place.wait()

    return together([work] * processes)


def event(processes, count):
    """The first sets, the others wait; the last of them answers."""
    processes, count = int(processes), int(count)
    go = [fork.Event(), fork.Event()]
    back = fork.Semaphore(0)

    def lead():
        for i in range(count):
            go[1 - i % 2].clear()
            go[i % 2].set()
            for _ in range(processes - 1):
                back.acquire()

    def follow():
        for i in range(count):
            go[i % 2].wait()
            back.release()

    return together([lead] + [follow] * (processes - 1))


def queue(size, producers, consumers, count):
    size, producers, consumers, count = int(size), int(producers), int(consumers), int(count)
    step = producers * consumers
    count = -(-count // step) * step
    channel = fork.Queue()
    message = b"x" * size

    def produce():
        for _ in range(count // producers):
            channel.put(message)

    def consume():
        for _ in range(count // consumers):
            assert len(channel.get()) == size

    return together([produce] * producers + [consume] * consumers)


def trip(kind, cpu_of_asker, cpu_of_answerer, count):
    count = int(count)
    if kind == "queue":
        there, back = fork.Queue(), fork.Queue()
        ask, answered, asked, answer = there.put, back.get, there.get, back.put
    else:
        near, far = fork.Pipe()
        ask, answered, asked, answer = near.send_bytes, near.recv_bytes, far.recv_bytes, far.send_bytes

    def asker():
        os.sched_setaffinity(0, {int(cpu_of_asker)})
        for _ in range(count):
            ask(b"12345678")
            answered()

    def answerer():
        os.sched_setaffinity(0, {int(cpu_of_answerer)})
        for _ in range(count):
            answer(asked())

    return together([asker, answerer])


def pipe(size, count):
    count = int(count)
    message = b"x" * int(size)
    near, far = fork.Pipe()

    def send():
        for _ in range(count):
            near.send_bytes(message)

    def receive():
        for _ in range(count):
            assert len(far.recv_bytes()) == len(message)

    return together([send, receive])


def connect(count):
    count = int(count)
    listener = multiprocessing.connection.Listener(("127.0.0.1", 0), authkey=b"correct horse")

    def accept():
        for _ in range(count):
            listener.accept().close()

    def client():
        for _ in range(count):
            multiprocessing.connection.Client(listener.address, authkey=b"correct horse").close()

    return together([accept, client])


def wait(things, count):
    """One of so many pipes has a message, is told and emptied; the order is that of wait.h."""
    things, count = int(things), int(count)
    pipes = [fork.Pipe(False) for _ in range(things)]
    readers = [reader for reader, _ in pipes]
    begin = now()
    for turn in range(count):
        reader, writer = pipes[turn * 7919 % things]
        writer.send_bytes(b"x")
        assert multiprocessing.connection.wait(readers) == [reader]
        reader.recv_bytes()
    return now() - begin


def nothing():
    pass


def process(method, megabytes, count):
    context = multiprocessing.get_context(method)
    touched = bytearray(int(megabytes) << 20)
    for i in range(0, len(touched), 4096):
        touched[i] = 1
    if method == "forkserver":
        start_and_join(context)
    begin = now()
    for _ in range(int(count)):
        start_and_join(context)
    return now() - begin


def run_subprocess(what, megabytes, count):
    commands = {"call": ["/bin/true"], "output": ["/bin/echo", "x"], "large": ["/usr/bin/head", "-c100M", "/dev/zero"]}
    touched = bytearray(int(megabytes) << 20)
    for i in range(0, len(touched), 4096):
        touched[i] = 1
    begin = now()
    for _ in range(int(count)):
        if what == "call":
            subprocess.check_call(commands[what])
        else:
            assert subprocess.check_output(commands[what])
    return now() - begin


def start_and_join(context):
    child = context.Process(target=nothing)
    child.start()
    child.join()
    assert child.exitcode == 0


def square(number):
    return number * number


def record(number):
    return number.to_bytes(64, "little")


def window_of(submit, result, count):
    outstanding = collections.deque()
    for number in range(count):
        if len(outstanding) == 1000:
            result(outstanding.popleft())
        outstanding.append(submit(square, number % 1000))
    while outstanding:
        result(outstanding.popleft())


LARGE = bytes((1 << 20) - 8)


def echo(data):
    return data


def large_of(submit, result, count):
    """Inputs and results of 1 MiB, the number of each in front; eight are outstanding."""
    outstanding = collections.deque()
    for number in range(count + 8):
        if number >= 8:
            assert int.from_bytes(result(outstanding.popleft())[:8], "little") == number - 8
        if number < count:
            outstanding.append(submit(echo, number.to_bytes(8, "little") + LARGE))


def executor_of(kind):
    if kind == "mpi":
        import mpi4py.futures

        return mpi4py.futures.MPIPoolExecutor(2)
    kinds = {
        "processes": concurrent.futures.ProcessPoolExecutor,
        "threads": concurrent.futures.ThreadPoolExecutor,
    }
    return kinds[kind](2)


def executor(kind, what, count):
    count = int(count)
    with executor_of(kind) as workers:
        workers.submit(square, 1).result()
        begin = now()
        if what in ("map", "map1"):
            chunk = 4096 if what == "map" else 1
            assert sum(1 for _ in workers.map(square, range(count), chunksize=chunk)) == count
        elif what == "window":
            window_of(workers.submit, lambda future: future.result(), count)
        elif what == "large":
            large_of(workers.submit, lambda future: future.result(), count)
        else:
            sys.exit(__doc__)
        return now() - begin


def run_joblib(what, count):
    import joblib

    count = int(count)
    with joblib.Parallel(n_jobs=2, batch_size="auto" if what == "map" else 1) as parallel:
        parallel(joblib.delayed(square)(number) for number in range(2))
        begin = now()
        assert len(parallel(joblib.delayed(square)(number) for number in range(count))) == count
        return now() - begin


def pool(kind, count):
    count = int(count)
    if kind in ("open", "used"):
        begin = now()
        for _ in range(count):
            workers = fork.Pool(2)
            if kind == "used":
                workers.map(square, range(2), chunksize=1)
            workers.close()
            workers.join()
        return now() - begin
    with multiprocessing.pool.ThreadPool(2) if kind == "threads" else fork.Pool(2) as workers:
        workers.map(square, range(2), chunksize=1)
        begin = now()
        if kind == "map":
            assert len(workers.map(square, range(count))) == count
        elif kind == "map1":
            assert len(workers.map(square, range(count), chunksize=1)) == count
        elif kind in ("unordered", "unordered1"):
            chunk = 4096 if kind == "unordered" else 1
            assert sum(1 for _ in workers.imap_unordered(square, range(count), chunksize=chunk)) == count
        elif kind == "stream":
            assert sum(1 for _ in workers.imap_unordered(record, range(count))) == count
        elif kind in ("window", "threads"):
            window_of(lambda f, n: workers.apply_async(f, (n,)), lambda r: r.get(), count)
        elif kind == "large":
            large_of(lambda f, n: workers.apply_async(f, (n,)), lambda r: r.get(), count)
        else:
            sys.exit(__doc__)
        return now() - begin


def pickles(direction, kind, count):
    value = {
        "list": [i * 7919 % 100000 for i in range(1000)],
        "dict": {f"key-{i}": f"value number {i}" for i in range(1000)},
        "bytes": b"\7" * (1 << 20),
        "request": ("7f8af1075be0", "put", (1000,), {}),
    }[kind]
    data, dumps, loads = pickle.dumps(value), pickle.dumps, pickle.loads
    begin = now()
    if direction == "dumps":
        for _ in range(int(count)):
            dumps(value)
    else:
        for _ in range(int(count)):
            loads(data)
    return now() - begin


def sha256(name):
    with open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() + "  " + os.fsdecode(name)


def hash_files(names_file):
    """Prints the lines of sha256sum; measured from outside."""
    with open(names_file, "rb") as file:
        names = file.read().rstrip(b"\0").split(b"\0")
    with fork.Pool(2) as workers:
        for line in workers.imap_unordered(sha256, names, chunksize=32):
            print(line)


def run_true(_):
    pid = os.posix_spawn("/bin/true", ["/bin/true"], os.environ)
    return os.waitpid(pid, 0)[1]


def run_commands(count):
    """Starts /bin/true, two at a time; measured from outside."""
    with fork.Pool(2) as workers:
        assert not any(workers.imap_unordered(run_true, range(int(count)), chunksize=8))


def main():
    measured = {
        "condition": condition,
        "lock": lock,
        "semaphore": semaphore,
        "barrier": barrier,
        "event": event,
        "array": array,
        "queue": queue,
        "trip": trip,
        "pipe": pipe,
        "connect": connect,
        "wait": wait,
        "process": process,
        "subprocess": run_subprocess,
        "pool": pool,
        "executor": executor,
        "joblib": run_joblib,
        "pickle": pickles,
    }
    whole = {"hash": hash_files, "true": run_commands}
    name, arguments = (sys.argv[1:2] or [""])[0], sys.argv[2:]
    if name in measured:
        print(f"{measured[name](*arguments):.9f}")
    elif name in whole:
        whole[name](*arguments)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
