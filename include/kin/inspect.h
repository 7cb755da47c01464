/* kin/inspect.h: families seen from outside: who is in them, and what each does.
 *
 *     kin_inspection *seen = NULL;
 *     kin_inspected_queue queue;
 *     if (kin_inspect(&seen, NULL) < 0) …
 *     for (size_t i = 0; kin_inspection_queue(seen, 0, i, &queue) == 0; i++)
 *         printf("%zu messages, %u waiting for one\n", queue.items, queue.consumers);
 *     kin_inspection_close(seen);
 *
 * An inspection reads the memory of running families through a descriptor that is open for reading
 * alone.  It takes no lock, wakes and stops nobody, and needs nobody to answer: a family whose
 * processes are stopped is seen as well as one that is busy.  What it finds is a copy in the caller's
 * own memory.  The figures of one object belong together, but for those of one that changes all the time;
 * those of different objects are of moments close to each other. */
#ifndef KIN_INSPECT_H
#define KIN_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/pool.h>
#include <kin/publish.h>

KIN_BEGIN

typedef struct kin_inspection kin_inspection;

typedef struct kin_inspect_options {
    const char *name; /* only the family of that name (kin_family_publish); NULL: whatever its name */
    int pid;          /* only the family that this process belongs to; 0: whoever belongs to it */
} kin_inspect_options;

/* kin_inspect looks at all families that the caller may look at, which are those of its user, and for
 * root all, and stores in `*inspection` what it saw.  Families that end meanwhile are left out.  The
 * calling process need not have a family, and gets none.  Looks at every process in /proc:
 * milliseconds.  Safe for threads, not for signal handlers.
 * Errors: -EINVAL (NULL), -ENOENT (/proc is not mounted), -EMFILE, -ENFILE, -ENOMEM. */
KIN_API int kin_inspect_sized(kin_inspection **inspection, const kin_inspect_options *options, size_t size);
static inline int kin_inspect(kin_inspection **inspection, const kin_inspect_options *options)
{
    return kin_inspect_sized(inspection, options, sizeof(kin_inspect_options));
}

/* kin_inspection_close frees it; NULL is allowed. */
KIN_API void kin_inspection_close(kin_inspection *inspection);

/* One family.  Addresses are those that its processes have things at. */
typedef struct kin_inspected_family {
    uint64_t id; /* no two families have the same at a time */
    int error;   /* KIN_ELAYOUT: of another version of kin, of which only id, pid, uid and name are known */
    int pid;     /* of a process that holds its memory */
    unsigned uid;
    char name[KIN_NAME_SIZE]; /* "": it has none */
    const void *base;
    size_t region_size;
    size_t memory;         /* bytes of memory that the region takes */
    size_t heap_allocated; /* as in kin_memory_usage */
    size_t heap_blocks;
    uint64_t deaths; /* processes and threads that died and were cleaned up after */
    size_t processes, threads, pools, workers, queues, locks;
    bool partial;     /* it has more than is shown: 65,536 of each kind */
    int64_t taken_at; /* on the clock of kin_clock */
} kin_inspected_family;

/* One process. */
typedef struct kin_inspected_process {
    int pid;
    uint64_t generation; /* as in kin_member */
    unsigned threads;    /* of them that have used kin */
    unsigned held;       /* messages it holds, and pools it has opened */
    char state;          /* as ps(1) shows it, such as R, S or T; '?': not known, like the following */
    char command[64];
    int64_t cpu_ns;  /* processor time it has used */
    uint64_t memory; /* bytes that are resident */
} kin_inspected_process;

/* What a thread waits for. */
enum kin_waits {
    KIN_WAITS_NOT = 0,
    KIN_WAITS_OTHER = 1, /* for something inside of kin */
    KIN_WAITS_LOCK = 2,
    KIN_WAITS_RWLOCK = 3,
    KIN_WAITS_SEMAPHORE = 4,
    KIN_WAITS_CONDITION = 5,
    KIN_WAITS_EVENT = 6,
    KIN_WAITS_BARRIER = 7,
    KIN_WAITS_MESSAGE = 8, /* of a queue */
    KIN_WAITS_ROOM = 9,    /* in a queue */
    KIN_WAITS_TASKS = 10,  /* of a joinable queue, to be done */
    KIN_WAITS_POOL = 11,
    KIN_WAITS_RESULT = 12, /* of a pool */
    KIN_WAITS_ARRAY = 13   /* for the lock of one */
};
#define KIN_WAITS 14

typedef struct kin_inspected_thread {
    int pid;
    int thread; /* thread id; the first thread of a process has its pid */
    enum kin_waits waits;
    const void *waits_for; /* the object; NULL: it waits for none */
} kin_inspected_thread;

enum kin_inspected_state {
    KIN_POOL_RUNNING = 0,
    KIN_POOL_OPENING = 1,
    KIN_POOL_CLOSED = 2, /* what was handed in is run */
    KIN_POOL_TERMINATED = 3,
    KIN_POOL_ENDED = 4,
    KIN_POOL_BROKEN = 5 /* its supervisor died */
};

typedef struct kin_inspected_pool {
    const void *pool;
    char name[64];
    int owner;         /* pid of the process that opened it */
    bool threads;      /* its workers are threads of that process (KIN_POOL_THREADS) */
    const void *tasks; /* the queue of those that are simply the next */
    enum kin_inspected_state state;
    kin_pool_status status;
    kin_times times;
} kin_inspected_pool;

typedef struct kin_inspected_worker {
    const void *pool;
    int number;
    int pid;            /* of its process here, also when it works elsewhere */
    int thread;         /* thread id; that of a worker that is a process is its pid */
    char host[64];      /* where it works; "": here */
    bool starting;      /* it has not run its initializer yet */
    bool running;       /* it is on a task */
    bool blocked;       /* which waits on the pool itself */
    char function[40];  /* of the task, as the following; "": it changed too fast */
    uint64_t task;      /* its number */
    unsigned attempt;   /* from 1 */
    uint64_t item;      /* of a map: the index of the item it is on */
    int64_t running_ns; /* how long it has been on it, of a map on its part; -1: not known yet */
    uint64_t done;      /* by all workers that had this number */
    uint64_t failed;
    uint64_t retried;
} kin_inspected_worker;

typedef struct kin_inspected_queue {
    const void *queue;
    char name[KIN_NAME_SIZE]; /* by which it was published (kin_publish); "": by none */
    const void *pool;         /* the pool whose tasks it holds; NULL: it is no pool's */
    size_t items;
    uint64_t bytes; /* with what the queue itself needs for them */
    size_t max_items;
    uint64_t max_bytes;
    uint64_t put; /* messages, since it was opened; also those put back */
    uint64_t got;
    uint64_t bytes_put;
    uint64_t bytes_got;
    unsigned consumers; /* threads and coroutines that wait for a message */
    unsigned producers; /* and for room */
    bool joinable;
    unsigned taken; /* of one that hands out again: messages taken and not done */
    bool ended;     /* by kin_queue_shutdown */
} kin_inspected_queue;

enum kin_inspected_kind {
    KIN_KIND_LOCK = 0,
    KIN_KIND_RLOCK = 1,
    KIN_KIND_RWLOCK = 2,
    KIN_KIND_SEMAPHORE = 3
};
#define KIN_KINDS 4

/* A lock, or another thing that is acquired. */
typedef struct kin_inspected_lock {
    const void *lock;
    enum kin_inspected_kind kind;
    char name[KIN_NAME_SIZE];
    int holder_pid; /* who has it, to write in case of a KIN_KIND_RWLOCK; 0: nobody */
    int holder_thread;
    bool died;        /* its holder died, and nobody has acquired it since */
    unsigned depth;   /* how often its holder has it */
    unsigned readers; /* who read */
    unsigned free;    /* permits of a semaphore */
    unsigned held;
    unsigned waiters; /* threads and coroutines that wait for it */
} kin_inspected_lock;

/* kin_inspection_family fills `*family` with what was seen of the family `index`, from 0; the others with
 * what was seen of an object of it.  The order is as good as any.  Do not block; safe for
 * threads.  Errors: KIN_EINDEX (there are fewer), -EINVAL (NULL). */
KIN_API int kin_inspection_family_sized(const kin_inspection *inspection, size_t index,
                                        kin_inspected_family *family, size_t size);
static inline int kin_inspection_family(const kin_inspection *inspection, size_t index,
                                        kin_inspected_family *family)
{
    return kin_inspection_family_sized(inspection, index, family, sizeof(kin_inspected_family));
}
KIN_API int kin_inspection_process_sized(const kin_inspection *inspection, size_t family, size_t index,
                                         kin_inspected_process *process, size_t size);
static inline int kin_inspection_process(const kin_inspection *inspection, size_t family, size_t index,
                                         kin_inspected_process *process)
{
    return kin_inspection_process_sized(inspection, family, index, process, sizeof(kin_inspected_process));
}
KIN_API int kin_inspection_thread_sized(const kin_inspection *inspection, size_t family, size_t index,
                                        kin_inspected_thread *thread, size_t size);
static inline int kin_inspection_thread(const kin_inspection *inspection, size_t family, size_t index,
                                        kin_inspected_thread *thread)
{
    return kin_inspection_thread_sized(inspection, family, index, thread, sizeof(kin_inspected_thread));
}
KIN_API int kin_inspection_pool_sized(const kin_inspection *inspection, size_t family, size_t index,
                                      kin_inspected_pool *pool, size_t size);
static inline int kin_inspection_pool(const kin_inspection *inspection, size_t family, size_t index,
                                      kin_inspected_pool *pool)
{
    return kin_inspection_pool_sized(inspection, family, index, pool, sizeof(kin_inspected_pool));
}
KIN_API int kin_inspection_worker_sized(const kin_inspection *inspection, size_t family, size_t index,
                                        kin_inspected_worker *worker, size_t size);
static inline int kin_inspection_worker(const kin_inspection *inspection, size_t family, size_t index,
                                        kin_inspected_worker *worker)
{
    return kin_inspection_worker_sized(inspection, family, index, worker, sizeof(kin_inspected_worker));
}
KIN_API int kin_inspection_queue_sized(const kin_inspection *inspection, size_t family, size_t index,
                                       kin_inspected_queue *queue, size_t size);
static inline int kin_inspection_queue(const kin_inspection *inspection, size_t family, size_t index,
                                       kin_inspected_queue *queue)
{
    return kin_inspection_queue_sized(inspection, family, index, queue, sizeof(kin_inspected_queue));
}
KIN_API int kin_inspection_lock_sized(const kin_inspection *inspection, size_t family, size_t index,
                                      kin_inspected_lock *lock, size_t size);
static inline int kin_inspection_lock(const kin_inspection *inspection, size_t family, size_t index,
                                      kin_inspected_lock *lock)
{
    return kin_inspection_lock_sized(inspection, family, index, lock, sizeof(kin_inspected_lock));
}

KIN_END
#endif
