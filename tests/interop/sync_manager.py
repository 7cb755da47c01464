"""Uses every type of a SyncManager as a Python program does, and checks what it does.

    python3 sync_manager.py HOST PORT     a manager of somebody else's, with the key "abc"
    python3 sync_manager.py               one of Python's own: what the checks are measured by

It prints "all is well" when that is so.
"""
import array
import copy
import queue
import sys
import threading
import multiprocessing
from multiprocessing.managers import MakeProxyType, RemoteError, SyncManager

# As Python 3.14 has it.
SET_METHODS = (
    '__and__', '__contains__', '__ge__', '__gt__', '__iter__', '__le__', '__len__', '__lt__', '__or__',
    '__rand__', '__ror__', '__rsub__', '__rxor__', '__sub__', '__xor__', 'add', 'clear', 'copy', 'difference',
    'difference_update', 'discard', 'intersection', 'intersection_update', 'isdisjoint', 'issubset',
    'issuperset', 'pop', 'remove', 'symmetric_difference', 'symmetric_difference_update', 'union', 'update')
if not hasattr(SyncManager, 'set'):
    SetProxy = MakeProxyType('SetProxy', SET_METHODS)
    SetProxy._method_to_typeid_ = {'__iter__': 'Iterator'}
    SyncManager.register('set', set, SetProxy)


def square(x):
    return x * x


def power(base, exponent=2):
    return base ** exponent


def fail(x):
    raise ValueError('no %s' % x)


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
    m.Queue().put(1, True, -1)


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
    assert l.index(1, -10 ** 25, 10 ** 25) == 1 and l.index('a', 0, -1) == 0
    raises(ValueError, l.index, 1, 0, 1)
    raises(TypeError, l.index, 1, 'a')
    raises(TypeError, lambda: l['a'])
    raises(IndexError, lambda: l[10 ** 25])
    raises(TypeError, l.pop, 'a')
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
    for wrong in (lambda: d[[]], lambda: [] in d, lambda: d.get({}), lambda: d.pop([], 1), lambda: d.setdefault([])):
        assert raises(TypeError, wrong).startswith('unhashable type')
    raises(TypeError, d.__delitem__, {})
    d.update(['pq', ('r', 's')])
    assert d.pop('p') == 'q' and d.pop('r') == 's'
    assert 'has length 1; 2 is required' in raises(ValueError, d.update, 'ab')
    raises(TypeError, d.update, [5])
    raises(TypeError, d.update, 5)
    d[(1, 2)] = None
    assert d[1, 2] is None
    d.clear()
    assert len(d) == 0
    raises(KeyError, d.popitem)
    assert dict(m.dict([(1, 2), (3, 4)])) == {1: 2, 3: 4}


def check_set(m):
    s = m.set([1, 2, 3])
    assert len(s) == 3 and 2 in s and 4 not in s and sorted(s) == [1, 2, 3]
    assert s | {4} == {1, 2, 3, 4} and s & {1, 9} == {1} and s - {1} == {2, 3} and s ^ {3, 4} == {1, 2, 4}
    assert {1, 9} - s == {9} and {9} | s == {1, 2, 3, 9}
    assert s <= {1, 2, 3} and not s < {1, 2, 3} and s >= {1} and s > {1}
    assert s.union([4], (5,)) == {1, 2, 3, 4, 5} and s.intersection([1, 2], [2]) == {2}
    assert s.difference([1], 'a') == {2, 3} and s.symmetric_difference('a') == {1, 2, 3, 'a'}
    assert s.isdisjoint([7]) and s.issubset(range(9)) and s.issuperset([1]) and s.copy() == {1, 2, 3}
    s.add('x')
    s.discard('nothing')
    s.remove('x')
    assert raises(KeyError, s.remove, 'x') == "'x'"
    assert raises(TypeError, s.add, []) == "unhashable type: 'list'"
    assert "unhashable type: 'list'" in raises(RemoteError, m.set, [[]])
    raises(RemoteError, m.set, 5)
    raises(TypeError, s.symmetric_difference)
    s.update([7], {8: None})
    s.intersection_update([7, 8])
    s.difference_update([7])
    s.symmetric_difference_update([9])
    assert s._getvalue() == {8, 9} and str(m.set([1])) == '{1}'
    assert s.pop() in (8, 9) and len(s) == 1
    s.clear()
    assert raises(KeyError, s.pop) == "'pop from an empty set'"


def check_pool(m, task):
    pool = m.Pool(2)
    assert pool.apply(task(square), (7,)) == 49 and pool.apply(task(power), (2,), {'exponent': 5}) == 32
    assert pool.map(task(square), range(10)) == [x * x for x in range(10)] and pool.map(task(square), []) == []
    assert pool.map(task(square), [1, 2, 3], 2) == [1, 4, 9]
    assert pool.starmap(task(power), [(2, 3), (3, 2)]) == [8, 9]
    result = pool.apply_async(task(power), (3,))
    assert result.get(20) == 9 and result.ready() and result.successful() and result.wait() is None
    assert pool.map_async(task(square), [4, 5]).get() == [16, 25]
    assert pool.starmap_async(task(power), [(1, 1)]).get() == [1]
    assert list(pool.imap(task(square), [1, 2, 3])) == [1, 4, 9]
    assert sorted(pool.imap_unordered(task(square), [1, 2, 3], 2)) == [1, 4, 9]
    assert raises(ValueError, pool.apply, task(fail), ('luck',)) == 'no luck'
    assert raises(ValueError, pool.map, task(fail), [1]) == 'no 1'
    failed = pool.apply_async(task(fail), ('way',))
    failed.wait()
    assert not failed.successful() and raises(ValueError, failed.get) == 'no way'
    raises((ValueError, AssertionError), pool.join)  # the latter before 3.8
    pool.close()
    raises(ValueError, pool.apply, task(square), (7,))
    pool.join()
    assert 'at least 1' in raises(RemoteError, m.Pool, 0)
    with m.Pool(1) as other:
        slow = other.apply_async(task(square), (3,))
        assert slow.get() == 9


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
    assert lock.acquire(False, -1)
    threading.Timer(0.05, lock.release).start()
    assert lock.acquire(True, -1)
    for one in (lock, rlock):
        raises(ValueError, one.acquire, False, 1)
        raises(ValueError, one.acquire, True, -2)
    s = m.Semaphore(2)
    raises(ValueError, s.acquire, False, 1)
    assert s.acquire() and s.acquire() and not s.acquire(False) and not s.acquire(True, -2)
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
    a[1:2] = array.array('i', [7, 8])
    assert list(a) == [1, 7, 8, 3]
    a[1:3] = array.array('i', [20])
    a[::2] = array.array('i', [1, 3])
    assert list(a) == [1, 20, 3]
    raises(TypeError, a.__setitem__, slice(0, 1), array.array('d', [1]))
    raises(ValueError, a.__setitem__, slice(0, 3, 2), array.array('i', [1]))
    raises(OverflowError, a.__setitem__, 0, 1 << 40)
    n.y = [2]
    n._hidden = 3
    assert n.x == 1 and n.y == [2] and str(n) == 'Namespace(x=1, y=[2])'
    del n.x
    raises(AttributeError, lambda: n.x)
    raises(TypeError, n._callmethod, '__getattribute__', (1,))


def check_contents(m):
    l, other, d = m.list([1, 2]), m.list([3, 4]), m.dict(a=1)
    l.extend(other)
    l += other
    assert l[:] == [1, 2, 3, 4, 3, 4]
    l[0:2] = other
    assert l[:4] == [3, 4, 3, 4]
    assert m.list(other)[:] == [3, 4] and m.Array('i', other)[:] == array.array('i', [3, 4])
    d.update(m.dict(b=2))
    assert dict(m.dict(d).items()) == {'a': 1, 'b': 2}
    assert m.dict(m.list([m.list(['x', 5])])).items() == [('x', 5)]
    assert sorted(m.set(other).copy()) == [3, 4]
    inner = m.list([other])
    assert m.list(inner)[0][:] == [3, 4]
    raises(RemoteError, m.list, m.Namespace())
    raises(RemoteError, m.list, m.Lock())
    names, value = m.Namespace(x=1), m.Value('i', 5)
    assert names._getvalue().x == 1 and copy.deepcopy(names).x == 1
    assert repr(value._getvalue()) == "Value('i', 5)"
    assert names._callmethod('__getattribute__', ('__dict__',)) == {'x': 1}
    long = '\xe4' * 1500
    assert str(m.Value('u', long)) == "Value('u', %r)" % long and str(m.Namespace(x=long, y=long)) == \
        'Namespace(x=%r, y=%r)' % (long, long)
    constants = m.list([..., NotImplemented])
    assert constants[0] is ... and constants[1] is NotImplemented and str(constants) == '[Ellipsis, NotImplemented]'


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
        task = lambda function: function.__name__
    else:
        task = lambda function: function
        manager = SyncManager(authkey=b'abc', ctx=multiprocessing.get_context('fork'))
        manager.start()
    check_pool(manager, task)
    for check in (check_queue, check_list, check_dict, check_set, check_locks, check_condition, check_values, check_contents,
                  check_nesting):
        check(manager)
    print('all is well')
