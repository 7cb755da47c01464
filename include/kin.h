/* kin: multiprocessing for C.  This header brings in one small header per concept. */
#ifndef KIN_H
#define KIN_H

#include <kin/array.h>
#include <kin/barrier.h>
#include <kin/channel.h>
#include <kin/condition.h>
#include <kin/connection.h>
#include <kin/container.h>
#include <kin/coroutine.h>
#include <kin/error.h>
#include <kin/event.h>
#include <kin/generator.h>
#include <kin/imap.h>
#include <kin/inspect.h>
#include <kin/limits.h>
#include <kin/listener.h>
#include <kin/local.h>
#include <kin/lock.h>
#include <kin/log.h>
#include <kin/loop.h>
#include <kin/manager.h>
#include <kin/memory.h>
#include <kin/object.h>
#include <kin/pickle.h>
#include <kin/pool.h>
#include <kin/process.h>
#include <kin/publish.h>
#include <kin/queue.h>
#include <kin/queue_value.h>
#include <kin/result.h>
#include <kin/rlock.h>
#include <kin/rwlock.h>
#include <kin/semaphore.h>
#include <kin/shareable_list.h>
#include <kin/shared_memory.h>
#include <kin/signals.h>
#include <kin/start.h>
#include <kin/subprocess.h>
#include <kin/thread.h>
#include <kin/time.h>
#include <kin/value.h>
#include <kin/version.h>
#include <kin/wait.h>
#include <kin/worker.h>

#endif
