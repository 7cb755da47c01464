// peer_boost.cpp: Boost.Interprocess: interprocess_mutex and message_queue.
//
// The queue has a name only between its making and the fork: the processes inherit the
// mapping, so that nothing is left in /dev/shm however the run ends.
#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <memory>
#include <new>
#include <string>
#include <unistd.h>

#include "lock.h"
#include "queue.h"
#include "round_trip.h"

using boost::interprocess::interprocess_mutex;
using boost::interprocess::message_queue;

static int lock_work(int, void *context)
{
    auto *arena = static_cast<lock_arena *>(context);
    auto *mutex = reinterpret_cast<interprocess_mutex *>(arena->lock);
    for (long i = 0; i < arena->per_process; i++) {
        mutex->lock();
        arena->counter = arena->counter + 1;
        mutex->unlock();
    }
    return 0;
}

double peer_boost_lock(const bench_case *test, long count)
{
    auto *arena = static_cast<lock_arena *>(bench_shared(sizeof(lock_arena)));
    new (arena->lock) interprocess_mutex;
    return lock_measure(test, count, arena, lock_work);
}

static std::unique_ptr<message_queue> open_queue(int number, size_t depth, size_t size)
{
    std::string name = "kin-bench-" + std::to_string(getpid()) + "-" + std::to_string(number);
    auto queue = std::make_unique<message_queue>(boost::interprocess::create_only, name.c_str(), depth, size);
    message_queue::remove(name.c_str());
    return queue;
}

static inline int put(void *queue, const void *message, size_t size)
{
    static_cast<message_queue *>(queue)->send(message, size, 0);
    return 0;
}

static inline int get(void *queue, void *message, size_t size)
{
    message_queue::size_type received;
    unsigned priority;
    static_cast<message_queue *>(queue)->receive(message, size, received, priority);
    return received == size ? 1 : -1;
}

QUEUE_WORK(queue_work, put, get)

double peer_boost_queue(const bench_case *test, long count)
{
    queue_traffic *traffic = queue_traffic_new(test, count);
    auto queue = open_queue(0, static_cast<size_t>(traffic->depth), traffic->size);
    bench_team team = {};
    team.work = queue_work;
    traffic->transport = queue.get();
    return queue_measure(traffic, &team);
}

static inline int send_number(void *queues, int direction, uint64_t number)
{
    return put(static_cast<message_queue **>(queues)[direction], &number, sizeof number);
}

static inline int receive_number(void *queues, int direction, uint64_t *number)
{
    return get(static_cast<message_queue **>(queues)[direction], number, sizeof *number) == 1 ? 0 : -1;
}

TRIP_WORK(trip_work, send_number, receive_number)

double peer_boost_trip(const bench_case *test, long count)
{
    auto there = open_queue(0, 16, sizeof(uint64_t));
    auto back = open_queue(1, 16, sizeof(uint64_t));
    message_queue *queues[] = {there.get(), back.get()};
    trip trip = {count, queues};
    bench_team team = {};
    team.work = trip_work;
    return trip_measure(test, &trip, &team);
}
