"""A manager of Python's, for clients in C: has the key that it is given, says its port and serves until it is killed."""
import collections
import datetime
import sys
from multiprocessing.managers import SyncManager

VALUES = {
    'ordered': collections.OrderedDict(a=1),
    'default': collections.defaultdict(list, a=[1]),
    'deque': collections.deque([1, 2], 3),
    'date': datetime.date(2020, 1, 2),
}


class Shelf:
    def get(self, name):
        return VALUES[name]

    def inside(self, name):
        return {'found': [VALUES[name]]}


class PlainManager(SyncManager):
    pass


PlainManager.register('Shelf', Shelf)

if __name__ == '__main__':
    server = PlainManager(address=('127.0.0.1', 0), authkey=sys.argv[1].encode()).get_server()
    print(server.address[1], flush=True)
    server.serve_forever()
