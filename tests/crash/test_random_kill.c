/* test_random_kill.c: a program that uses queue, lock, allocator and pool together while its
 * processes, and the pool's workers, are killed at random.
 *
 * KIN_KILLS in the environment says how many kills; the default is for everyday use.
 */
#include "crash.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "ipc/queue.h"
#include "support/chaos.h"

#define LARGEST      9000
#define LEDGER_LIMIT 100000000

/* In family memory.  `one` and `two` are changed together, under the lock. */
struct guarded {
    kin_lock *lock;
    long one, two;
};

struct world {
    kin_queue *queue;
    struct guarded *guarded;
    kin_pool *pool;
    struct ledger *ledger;
    uint64_t random;
};

struct message {
    uint32_t producer, size;
    uint64_t number;
    unsigned char bytes[LARGEST];
};

static unsigned char pattern(uint64_t number, uint32_t i)
{
    return (unsigned char)(number * 31 + i * 7);
}

static void step_under_lock(struct guarded *guarded)
{
    int rc = kin_lock_acquire(guarded->lock, kin_in_s(20));
    CHECK_OK(rc);
    if (rc == KIN_OWNER_DIED) guarded->two = guarded->one;
    CHECK_EQ(guarded->one, guarded->two);
    guarded->one++;
    guarded->two++;
    CHECK_OK(kin_lock_release(guarded->lock));
}

static void produce(void *context, unsigned index)
{
    struct world *world = context;
    static struct message message;
    uint64_t random = (uint64_t)getpid() * 2654435761u;
    while (!chaos_stopping() && !ledger_is_full(world->ledger, index)) {
        message.producer = index;
        message.number = ledger_issue(world->ledger, index);
        uint64_t kind = chaos_random(&random);
        message.size = kind % 50 == 0 ? 5000 + (uint32_t)(kind >> 8) % 4000 : (uint32_t)(kind >> 8) % 300;
        for (uint32_t i = 0; i < message.size; i++) message.bytes[i] = pattern(message.number, i);
        int rc;
        do rc = kin_queue_put(world->queue, &message, 16 + message.size, kin_in_ms(500));
        while (rc == KIN_FULL && !chaos_stopping());
        if (rc == KIN_FULL) return;
        CHECK_OK(rc);
        ledger_acknowledge(world->ledger, index, message.number);
        if (message.number % 8 == 0) step_under_lock(world->guarded);
        chaos_progress();
    }
}

/* Inside the queue, before the message counts as taken: the account is exact. */
static enum kin__claim see(const void *bytes, size_t size, void *context)
{
    struct world *world = context;
    const struct message *message = bytes;
    CHECK_EQ(size, 16 + message->size);
    ledger_see(world->ledger, message->producer, message->number, true);
    return KIN__CLAIM_TAKE;
}

static bool get_one(struct world *world, kin_deadline deadline)
{
    static struct message message;
    const struct kin__queue_claim by = {.claim = see, .context = world};
    long size = kin__queue_get_claim(world->queue, &message, sizeof message, deadline, &by);
    if (size == KIN_EMPTY) return false;
    CHECK_EQ(size, 16 + message.size);
    for (uint32_t i = 0; i < message.size; i++) CHECK_EQ(message.bytes[i], pattern(message.number, i));
    return true;
}

static void consume(void *context, unsigned index)
{
    struct world *world = context;
    (void)index;
    while (!chaos_stopping())
        if (get_one(world, kin_in_ms(500))) chaos_progress();
}

static int cube(const long *in, long *out)
{
    *out = *in * *in * *in;
    return 0;
}
KIN_MAP(cube, long, long)

static void use_pool(void *context, unsigned index)
{
    struct world *world = context;
    long in[200], out[200];
    (void)index;
    for (long i = 0; i < 200; i++) in[i] = i;
    while (!chaos_stopping()) {
        kin_result *result[20];
        for (long i = 0; i < 20; i++)
            CHECK_OK(kin_pool_submit(world->pool, &result[i], KIN_FN(cube), &in[i], sizeof(long),
                                     kin_in_s(20), NULL));
        for (long i = 0; i < 20; i++) {
            long value = -1;
            CHECK_EQ(kin_result_get(result[i], &value, sizeof value, kin_in_s(20)), (long)sizeof value);
            CHECK_EQ(value, i * i * i);
            CHECK_OK(kin_result_close(result[i]));
        }
        CHECK_OK(kin_pool_map(world->pool, KIN_FN(cube), in, out, 200, kin_in_s(20)));
        for (long i = 0; i < 200; i++) CHECK_EQ(out[i], i * i * i);
        chaos_progress();
    }
}

/* With each kill of a role, a worker of the pool goes as well now and then. */
static void kill_worker(void *context, unsigned role, pid_t victim)
{
    struct world *world = context;
    int pids[8];
    (void)role;
    (void)victim;
    uint64_t random = chaos_random(&world->random);
    if (random % 4 != 0) return;
    long count = kin_pool_workers(world->pool, pids, 8);
    if (count > 0) kill(pids[(random >> 8) % (uint64_t)count], SIGKILL);
}

TEST(everything_together, .deadline = 3000, .alone = true)
{
    const char *asked = getenv("KIN_KILLS");
    long kills = asked != NULL ? atol(asked) : test_sanitized() ? 300 : 5000;
    struct world world = {.random = 88172645463325252u};
    world.ledger = ledger_open(2, LEDGER_LIMIT);
    struct books books = books_open();
    CHECK_OK(kin_queue_open(&world.queue, &(kin_queue_options){.max_bytes = 200000}));
    world.guarded = kin_alloc(sizeof *world.guarded);
    CHECK_OK(kin_lock_open(&world.guarded->lock));
    CHECK_OK(kin_pool_open(&world.pool, &(kin_pool_options){.workers = 2, .retries = 1000}));
    struct chaos_report report = chaos(&(struct chaos){
        .roles = {{"producer", 2, produce}, {"consumer", 1, consume}, {"submitter", 1, use_pool}},
        .context = &world,
        .kills = kills,
        .seconds = 2900,
        .delay_us = 2000,
        .hang_seconds = 20,
        .after_kill = kill_worker});
    CHECK_GE(report.kills, kills);
    while (get_one(&world, KIN_NOW))
        ;
    struct ledger_account account = ledger_account(world.ledger);
    kin_pool_status status;
    CHECK_OK(kin_pool_stats(world.pool, &status));
    NOTE(
        "%ld kills, %lu workers died, %lu messages acknowledged, %lu tasks, worst stall %.0f ms, %lu rescues",
        report.kills, (unsigned long)status.deaths, (unsigned long)account.acknowledged,
        (unsigned long)status.done, report.worst_stall_ms,
        (unsigned long)(atomic_load(&kin__family.header->rescues) - books.rescues));
    CHECK_EQ(account.lost, 0);
    CHECK_EQ(account.corrupt, 0);
    CHECK_EQ(account.out_of_order, 0);
    CHECK_LE(account.duplicated, (uint64_t)report.killed[1]);
    CHECK_GT(account.acknowledged, 0);
    CHECK_GT(status.deaths, 0);
    CHECK_OK(kin_pool_close(world.pool));
    CHECK_OK(kin_pool_join(world.pool, kin_in_s(20)));
    CHECK_OK(kin_pool_free(world.pool));
    CHECK_OK(kin_queue_close(world.queue));
    int rc = kin_lock_acquire(world.guarded->lock, KIN_NOW);
    CHECK(rc == 0 || rc == KIN_OWNER_DIED);
    CHECK_OK(kin_lock_release(world.guarded->lock));
    CHECK_OK(kin_lock_close(world.guarded->lock));
    CHECK_OK(kin_free(world.guarded));
    books_check(&books);
}
