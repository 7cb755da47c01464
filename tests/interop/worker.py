"""The worker of the tutorial: numbers come out of one queue, their squares go into the other.

    python3 worker.py HOST PORT
"""
import queue
import sys
from multiprocessing.managers import BaseManager


class QueueManager(BaseManager):
    pass


QueueManager.register('get_task_queue')
QueueManager.register('get_result_queue')
manager = QueueManager(address=(sys.argv[1], int(sys.argv[2])), authkey=b'abc')
manager.connect()
task = manager.get_task_queue()
result = manager.get_result_queue()
while True:
    try:
        n = task.get(timeout=1)
    except queue.Empty:
        print('the task queue is empty')
        break
    result.put('%d * %d = %d' % (n, n, n * n))
