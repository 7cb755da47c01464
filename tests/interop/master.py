"""The master of the tutorial: ten random numbers go into one queue, ten lines come out of the other.
"""
import multiprocessing
import queue
import random
from multiprocessing.managers import BaseManager

task_queue = queue.Queue()
result_queue = queue.Queue()


def get_task_queue():
    return task_queue


def get_result_queue():
    return result_queue


class QueueManager(BaseManager):
    pass


if __name__ == '__main__':
    QueueManager.register('get_task_queue', callable=get_task_queue)
    QueueManager.register('get_result_queue', callable=get_result_queue)
    # From 3.14 on processes are not forked unless one asks for it.
    manager = QueueManager(address=('127.0.0.1', 0), authkey=b'abc', ctx=multiprocessing.get_context('fork'))
    manager.start()
    print('tcp://%s:%d' % manager.address, flush=True)
    task = manager.get_task_queue()
    result = manager.get_result_queue()
    for i in range(10):
        n = random.randint(0, 10000)
        print('put task %d' % n)
        task.put(n)
    for i in range(10):
        try:
            print('result: %s' % result.get(timeout=5))
        except queue.Empty:
            print('the result queue is empty')
    manager.shutdown()
