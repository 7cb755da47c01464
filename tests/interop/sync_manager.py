"""Uses every type of a SyncManager as a Python program does, and checks what it does.

    python3 sync_manager.py HOST PORT     a manager of somebody else's, with the key "abc"
    python3 sync_manager.py               one of Python's own: what the checks are measured by

It prints "all is well" when that is so.
"""
import queue
import sys
import threading
import multiprocessing
from multiprocessing.managers import SyncManager


def raises(exception, function, *arguments, **keywords):
    try:
        function(*arguments, **keywords)
    except exception as error:
        return str(error)
    raise AssertionError('%r was not raised' % exception)


def check_queue(m):
    q = m.Queue(2)
    assert q.empty() and not q.full() and q.qsize() == 0
    q.put((1, 'two', [3.5, None, {'four': b'5'}]))
    q.put(2, True, 1)
    assert q.full()
    raises(queue.Full, q.put_nowait, 3)
    raises(queue.Full, q.put, 3, timeout=0.01)
    raises(ValueError, q.put, 3, True, -1)
    assert q.get() == (1, 'two', [3.5, None, {'four': b'5'}])
    assert q.get(timeout=1) == 2
    raises(queue.Empty, q.get_nowait)
    raises(queue.Empty, q.get, True, 0.01)
    getter = threading.Thread(target=lambda: q.put(q.get() + 1))
    getter.start()
    q.put(41)
    getter.join()
    assert q.get() == 42
    j = m.JoinableQueue()
    for i in range(3):
        j.put(i)
    joiner = threading.Thread(target=j.join)
    joiner.start()
    for i in range(3):
        assert j.get() == i
        j.task_done()
    joiner.join()
    raises(ValueError, j.task_done)
    raises(TypeError, q.put)


def check_list(m):
    l = m.list([3, 1, 2])
    l.append('x')
    assert l[:] == [3, 1, 2, 'x'] and len(l) == 4 and l[-1] == 'x' and l[0:4:2] == [3, 2]
    assert 'x' in l and 'y' not in l and list(l) == [3, 1, 2, 'x']
    assert l.pop() == 'x' and l.pop(0) == 3
    l.extend((5, 4))
    l += [9]
    l.sort()
    assert l._getvalue() == [1, 2, 4, 5, 9]
    l.reverse()
    l.insert(1, 7)
    assert l[:] == [9, 7, 5, 4, 2, 1]
    l[0] = 8
    del l[1]
    l[1:3] = ['a', 'b', 'c']
    assert l[:] == [8, 'a', 'b', 'c', 2, 1]
    del l[::2]
    assert l[:] == ['a', 'c', 1]
    l.remove('c')
    assert l.index(1) == 1 and l.count('a') == 1 and l + [0] == ['a', 1, 0] and l * 2 == ['a', 1, 'a', 1]
    assert str(l) == "['a', 1]"
    raises(IndexError, lambda: l[5])
    raises(ValueError, l.remove, 'nothing')
    raises(ValueError, l.index, 'nothing')
    raises(TypeError, lambda: l['a'])
    raises(TypeError, m.list([1, 'a']).sort)
    assert m.list('abc')[:] == ['a', 'b', 'c'] and m.list(range(3))[:] == [0, 1, 2]
    assert raises(IndexError, m.list().pop) == 'pop from empty list'


def check_dict(m):
    d = m.dict({'a': 1}, b=2)
    d['c'] = [3]
    assert dict(d) == {'a': 1, 'b': 2, 'c': [3]} and len(d) == 3 and 'a' in d and d['a'] == 1
    assert sorted(d.keys()) == ['a', 'b', 'c'] and d.values() == [1, 2, [3]] and d.items()[0] == ('a', 1)
    assert [k for k in d] == ['a', 'b', 'c']
    assert d.get('x') is None and d.get('x', 5) == 5 and d.setdefault('x', 6) == 6 and d.setdefault('x', 7) == 6
    d.update({'y': 1}, z=2)
    assert d.pop('y') == 1 and d.pop('y', None) is None and d.popitem() == ('z', 2)
    del d['x']
    assert d.copy() == {'a': 1, 'b': 2, 'c': [3]} and str(d) == "{'a': 1, 'b': 2, 'c': [3]}"
    assert raises(KeyError, lambda: d['nothing']) == "'nothing'"
    raises(KeyError, d.pop, 'nothing')
    raises(TypeError, d.__setitem__, [], 1)
    d[(1, 2)] = None
    assert d[1, 2] is None
    d.clear()
    assert len(d) == 0
    raises(KeyError, d.popitem)
    assert dict(m.dict([(1, 2), (3, 4)])) == {1: 2, 3: 4}


def check_locks(m):
    lock, rlock = m.Lock(), m.RLock()
    assert lock.acquire() and not lock.acquire(False) and not lock.acquire(True, 0.01)
    lock.release()
    assert raises(RuntimeError, lock.release) == 'release unlocked lock'
    with lock:
        assert not lock.acquire(False)
    with rlock, rlock:
        pass
    raises(RuntimeError, rlock.release)
    s = m.Semaphore(2)
    assert s.acquire() and s.acquire() and not s.acquire(False)
    s.release()
    b = m.BoundedSemaphore(1)
    raises(ValueError, b.release)
    counter, total = m.list([0]), m.Lock()

    def add():
        for _ in range(20):
            with total:
                counter[0] += 1
    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter[0] == 80


def check_condition(m):
    c, e = m.Condition(), m.Event()
    items = []

    def consume():
        with c:
            while not items:
                c.wait()
            items.append('consumed')
    consumer = threading.Thread(target=consume)
    consumer.start()
    with c:
        items.append('item')
        c.notify()
    consumer.join()
    assert items == ['item', 'consumed']
    with c:
        assert not c.wait(0.01) and c.wait_for(lambda: True)
    raises(RuntimeError, c.notify)
    assert not e.is_set() and not e.wait(0.01)
    waiter = threading.Thread(target=e.wait)
    waiter.start()
    e.set()
    waiter.join()
    assert e.wait() and e.is_set()
    e.clear()
    assert not e.is_set()
    b = m.Barrier(3)
    places = []
    threads = [threading.Thread(target=lambda: places.append(b.wait())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(places) == [0, 1, 2] and b.parties == 3 and b.n_waiting == 0 and not b.broken
    raises(threading.BrokenBarrierError, b.wait, 0.01)
    assert b.broken
    b.reset()
    assert not b.broken


def check_values(m):
    v, a, n = m.Value('i', 5), m.Array('i', [1, 2, 3]), m.Namespace(x=1)
    v.value += 1
    assert v.value == 6 and v.get() == 6 and str(v) == "Value('i', 6)"
    a[1] = 20
    assert a[1] == 20 and len(a) == 3 and list(a[:]) == [1, 20, 3] and list(a) == [1, 20, 3]
    assert str(a) == "array('i', [1, 20, 3])"
    raises(IndexError, lambda: a[3])
    raises(TypeError, a.__setitem__, 0, 'x')
    raises(OverflowError, a.__setitem__, 0, 1 << 40)
    n.y = [2]
    n._hidden = 3
    assert n.x == 1 and n.y == [2] and str(n) == 'Namespace(x=1, y=[2])'
    del n.x
    raises(AttributeError, lambda: n.x)


def check_nesting(m):
    outer, inner = m.list(), m.dict()
    outer.append(inner)
    inner['deep'] = m.list([1])
    inner['deep'].append(2)
    assert outer[0]['deep'][:] == [1, 2]
    q = m.Queue()
    q.put(inner)
    assert q.get()['deep'][1] == 2
    n = m.Namespace()
    n.list = outer
    del outer, inner
    assert n.list[0]['deep'][:] == [1, 2]


if __name__ == '__main__':
    multiprocessing.current_process().authkey = b'abc'
    if len(sys.argv) > 1:
        address = sys.argv[1] if len(sys.argv) == 2 else (sys.argv[1], int(sys.argv[2]))
        manager = SyncManager(address=address, authkey=b'abc')
        manager.connect()
    else:
        manager = SyncManager(authkey=b'abc', ctx=multiprocessing.get_context('fork'))
        manager.start()
    for check in (check_queue, check_list, check_dict, check_locks, check_condition, check_values, check_nesting):
        check(manager)
    print('all is well')
