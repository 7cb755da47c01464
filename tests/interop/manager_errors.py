"""Makes calls that go wrong of a manager of somebody else's, and of one of Python's own, and compares what
they raise, answer and leave behind.

    python3 manager_errors.py HOST PORT SECONDS     the manager of somebody else's, with the key "abc"; a call
                                                    that takes so long hangs

It prints each call that differs, and "all is well" when none does.  What Python raises is compared by
its class, and by its words too where this version of Python has those that kin has.

Not here is what kin does and Python does not: Queue.join(timeout), list.copy, list.clear and Lock.locked
of newer versions, barriers of no party and queues of no number, which kin refuses at once.
"""
import multiprocessing
import re
import signal
import sys
from multiprocessing.managers import MakeProxyType, RemoteError, SyncManager

from sync_manager import SET_METHODS

big = 10 ** 30
CALLS = {
    "list([1, 2, 3])": """
        append() append(1, 2) append(object=1) insert(1) insert('x', 1) insert(1, 2, 3) insert(big, 1) pop(99)
        pop('x') pop(1, 2) pop(1.5) pop(None) pop(big) pop(index=1) remove(77) remove() index(77) index()
        index(1, 'x') index(1, 2, 3, 4) index(2, big) count() count(1, 2) count(value=1) extend(5) extend()
        extend(1, 2) extend(None) reverse(1) sort(1) sort(foo=1) sort(key=5)
        sort(key=None) __getitem__(99) __getitem__('x') __getitem__() __getitem__(1, 2) __getitem__(1.5)
        __getitem__(big) __getitem__(slice('a', 2)) __getitem__(slice(0, 5, 0)) __setitem__(99, 1)
        __setitem__('x', 1) __setitem__(1) __setitem__(slice(0, 2), 5) __setitem__(slice(0, 3, 2), [1])
        __setitem__(slice(0, 3, 0), [1]) __delitem__(99) __delitem__('x') __delitem__()
        __delitem__(slice(0, 3, 0)) __add__(5) __add__((1,)) __add__() __mul__('x') __mul__() __mul__(1.5)
        __mul__(big) __rmul__('x') __imul__('x') __imul__(None) __imul__() __len__(1) __len__(x=1)
        __contains__() __contains__(1, 2) nope() __iter__() __reversed__(1) append('z') sort()""",
    "list([3, None, 'a'])": "sort() sort(reverse=True)",
    "dict({'a': 1})": """
        __getitem__('zz') __getitem__([1]) __getitem__() __getitem__(1, 2) __setitem__([1], 1) __setitem__(1)
        __setitem__({}, 1) __setitem__({1}, 1) __setitem__((1, [2]), 1) __delitem__('zz') __delitem__([])
        __delitem__() get() get([]) get(1, 2, 3) get('a', default=1) pop('zz') pop() pop([]) pop(1, 2, 3)
        pop(big) setdefault([]) setdefault() setdefault(1, 2, 3) update(5) update([1]) update([(1,)])
        update([(1, 2, 3)]) update(['ab', 'cde']) update([([], 1)]) update(1, 2) update(None) popitem(1)
        keys(1) values(1) items(1) __contains__([]) __contains__() __len__(1) copy(1) clear(1) nope()
        __iter__(1) get(bytearray(b'x')) __getitem__(float('nan')) clear() popitem()""",
    "set([1, 2])": """
        add() add([]) add((1, [2])) add({}) remove(9) remove() discard([]) discard() pop(1) clear(1) copy(1)
        union(5) union(x=1) union([[]]) update(5) update([1, [2]]) difference(5) intersection(5)
        symmetric_difference() symmetric_difference(1, 2) issubset() issubset(5) isdisjoint(5) isdisjoint()
        __contains__([]) __contains__() __len__(1) __or__() __lt__() add(1, 2) nope() clear() pop()""",
    "Queue(2)": """
        get_nowait() get(False) get(True, 0.01) get(True, -1) put() put(1, True, -1) put(1, True, 'x')
        get(True, 'x') get(1, 2, 3) put(1, 2, 3, 4) put(1, foo=1) put(1, item=1) get(foo=1) put_nowait()
        put_nowait(1, 2) qsize(1) empty(1) full(1) task_done() task_done(1) get_nowait(1) put_nowait(1)
        put_nowait(1) put_nowait(1) put(1, False) put(1, True, 0.01) put(1, True, -1) put(1, True, 'x')
        put(1, True, big) nope()""",
    "JoinableQueue()": "task_done() put(1) task_done() task_done() get(True, 1, 2) get() get(True, 1e30)",
    "Lock()": """
        release() acquire(1, 2, 3) acquire(True, 'x') acquire(True, -5) acquire(False, 5) acquire(True, 1e30)
        acquire(foo=1) acquire(blocking=False, timeout=1) acquire(True, blocking=True) release(1) acquire(a=1, b=2, c=3)
        acquire(True, float('nan'))""",
    "RLock()": "release() acquire(1, 2, 3) acquire(True, 'x') acquire(True, -5) acquire(False, 5) acquire(foo=1) release(1)",
    "Semaphore(1)": """
        acquire(1, 2, 3) acquire(False, 5) acquire(foo=1) acquire(True, 'x') acquire(True, 'x') acquire(True, 1e30)
        release(0) release(1, 2)""",
    "BoundedSemaphore(1)": "release() acquire(False, 5) release(0) acquire() release(2)",
    "Event()": "wait('x') set(1) clear(1) is_set(1) wait(1, 2) wait(0) wait(foo=1) wait(1e30) set() wait('x') wait(1e30)",
    "Condition()": """
        wait() wait(0.01) notify() notify_all() release() acquire(1, 2, 3) notify(1, 2) wait('x')
        acquire() wait(1e30) wait('x') release() release()""",
    "Barrier(2)": """
        wait('x') wait(0.01) wait(0.01) abort(1) reset(1) __getattribute__() __getattribute__('nope')
        __getattribute__('parties') wait(1, 2)""",
    "Value('i', 5)": "get(1) set() set(1, 2) set(value=1, other=2) nope() set('x') get()",
    "Array('i', [1, 2, 3])": """
        __getitem__(99) __getitem__('x') __setitem__(99, 1) __setitem__(0, 'x') __setitem__(0, 2 ** 40)
        __setitem__(0, -2 ** 40) __setitem__(0, big) __setitem__(0, 1.5) __setitem__('x', 1) __setitem__(1)
        __len__(1) __getitem__() __getitem__(slice(0, 2, 0)) __setitem__(slice(0, 2), [1])
        __setitem__(slice(0, 2), 5) __getitem__(big) __getitem__(1.5) nope()""",
    "Array('b', [1])": "__setitem__(0, 300) __setitem__(0, -70000) __setitem__(0, big)",
    "Array('B', [1])": "__setitem__(0, 300) __setitem__(0, -1) __setitem__(0, big)",
    "Array('h', [1])": "__setitem__(0, 70000) __setitem__(0, -big)",
    "Array('H', [1])": "__setitem__(0, 70000) __setitem__(0, -1) __setitem__(0, 2 ** 40)",
    "Array('I', [1])": "__setitem__(0, 2 ** 40) __setitem__(0, -1) __setitem__(0, big)",
    "Array('l', [1])": "__setitem__(0, big) __setitem__(0, -big)",
    "Array('L', [1])": "__setitem__(0, big) __setitem__(0, -1)",
    "Array('q', [1])": "__setitem__(0, big) __setitem__(0, -big)",
    "Array('Q', [1])": "__setitem__(0, big) __setitem__(0, -big)",
    "Array('d', [1])": "__setitem__(0, 'x') __setitem__(0, 10 ** 400)",
    "Namespace()": """
        __getattribute__('zz') __getattribute__() __getattribute__(5) __setattr__('a') __setattr__(5, 1)
        __delattr__('zz') __delattr__() __delattr__(5) __getattribute__(1, 2) __setattr__('a', 1, 2)""",
}
MAKING = """
    list(5) list(1, 2) dict(5) dict([1]) dict(1, 2) set(5) set(1, 2) Queue(1, 2) Lock(1) Semaphore(-1)
    BoundedSemaphore(-1) Value('i') Value() Array('i') Array('q?', [1]) Array('i', ['x']) Array('i', 5)
    Array('z', [1]) Barrier() Event(1) Namespace(1) list(foo=1) Queue(foo=1) Condition(5)"""


def split(text):
    """The calls of a text, as (name, arguments, keywords)."""
    depth, start = 0, 0
    for at, letter in enumerate(text):
        depth += (letter in '([{') - (letter in ')]}')
        if letter == ')' and depth == 0:
            name, rest = text[start:at + 1].strip().split('(', 1)
            arguments, keywords = eval('call(' + rest, {'call': lambda *a, **k: (a, k), 'big': big})
            yield name, arguments, keywords
            start = at + 1


def hung(*_):
    raise AssertionError('it hangs')


def outcome(function, words):
    signal.alarm(limit)
    try:
        result = function()
    except RemoteError as error:
        lines = str(error).strip().strip('-').strip().splitlines()
        return lines[-1] if words else lines[-1].split(':')[0]
    except Exception as error:
        # What is said of times differs between releases of one version.
        return (type(error).__name__, re.sub('^timestamp.*', 'timestamp', str(error))) if words else type(error).__name__
    finally:
        signal.alarm(0)
    return 'a proxy' if hasattr(result, '_token') else repr(result)


def run(manager, words):
    for made, text in CALLS.items():
        name, arguments, keywords = next(split(made))
        proxy = getattr(manager, name)(*arguments, **keywords)
        for method, arguments, keywords in split(text):
            if method == 'release' and arguments and sys.version_info < (3, 9):
                continue  # it had no number
            call = '%s.%s%r%r' % (made, method, arguments, keywords or '')
            yield call, outcome(lambda: proxy._callmethod(method, arguments, keywords), words)
            if name in ('list', 'dict', 'set', 'Array', 'Namespace'):
                yield call + ' leaves', outcome(lambda: proxy._callmethod('__str__'), words)
    for name, arguments, keywords in split(MAKING):
        yield '%s%r%r' % (name, arguments, keywords or ''), outcome(
            lambda: getattr(manager, name)(*arguments, **keywords), words)


class Manager(SyncManager):
    pass


Manager.register('set', set, MakeProxyType('PlainSetProxy', SET_METHODS))

if __name__ == '__main__':
    multiprocessing.current_process().authkey = b'abc'
    signal.signal(signal.SIGALRM, hung)
    limit = int(sys.argv[3])
    words = (3, 11) <= sys.version_info[:2] <= (3, 12)
    other = Manager(address=(sys.argv[1], int(sys.argv[2])), authkey=b'abc')
    other.connect()
    pythons = Manager(authkey=b'abc', ctx=multiprocessing.get_context('fork'))
    pythons.start()
    count, same = 0, True
    for (call, here), (_, there) in zip(run(pythons, words), run(other, words)):
        count += 1
        if here != there:
            same = False
            print('%s\n    Python: %s\n    it: %s' % (call, here, there))
    if same and count > 500:
        print('all is well')
