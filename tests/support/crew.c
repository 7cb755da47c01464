/* crew.c: see crew.h.  Processes are begun before any thread is started. */
#include "crew.h"

#include <string.h>

#include <kin/memory.h>

#include "os/program.h"
#include "start.h"

/* What a process that was begun by exec is told: it has the program elsewhere in its memory. */
struct crew_order {
    struct kin__image image;
    crew_function *run;
    void *context;
    unsigned count;
};

/* A member as such a process is to be: the crew itself is the case's. */
static struct crew crew_of(const struct crew_order *order)
{
    const void *run = kin__os_translate((const void *)order->run, &order->image);
    CHECK(run != NULL);
    struct crew crew = {
        .count = order->count, .run = (crew_function *)(uintptr_t)run, .context = order->context};
    return crew;
}

static void *run_thread(void *argument)
{
    struct crew_member *member = argument;
    member->crew->run(member->crew->context, member->index);
    return NULL;
}

static void run_process(void *argument)
{
    run_thread(argument);
}

struct begin {
    struct crew_order *order;
    unsigned index;
};

static int run_begun(void *argument)
{
    const struct begin *begin = argument;
    struct crew crew = crew_of(begin->order);
    crew.run(crew.context, begin->index);
    return 0;
}

static void start_threads(struct crew *crew, unsigned first, unsigned step)
{
    for (unsigned i = first; i < crew->count; i += step) {
        int rc = pthread_create(&crew->thread[i], NULL, run_thread, &crew->member[i]);
        if (rc != 0) FAIL("cannot start a thread: %s", strerror(rc));
    }
}

static void join_threads(struct crew *crew, unsigned first, unsigned step)
{
    for (unsigned i = first; i < crew->count; i += step) pthread_join(crew->thread[i], NULL);
}

static void run_odd_threads(void *argument)
{
    struct crew *crew = argument;
    start_threads(crew, 1, 2);
    join_threads(crew, 1, 2);
}

static int run_odd_begun(void *argument)
{
    struct crew crew = crew_of(argument);
    for (unsigned i = 0; i < crew.count; i++) crew.member[i] = (struct crew_member){&crew, i};
    run_odd_threads(&crew);
    return 0;
}

static void begin_by_exec(struct crew *crew)
{
    crew->order = kin_alloc(sizeof *crew->order);
    CHECK(crew->order != NULL);
    *crew->order = (struct crew_order){*kin__os_image(), crew->run, crew->context, crew->count};
    if (crew->kind == CREW_MIXED_EXEC) {
        crew->begun[0] = start(KIN_SPAWN, run_odd_begun, crew->order);
        return;
    }
    for (unsigned i = 0; i < crew->count; i++) {
        struct begin begin = {crew->order, i};
        crew->begun[i] = start_with(KIN_SPAWN, run_begun, NULL,
                                    (kin_process_options){.bytes = &begin, .size = sizeof begin});
    }
}

static void end_by_exec(struct crew *crew)
{
    unsigned count = crew->kind == CREW_EXEC ? crew->count : 1;
    for (unsigned i = 0; i < count; i++) CHECK_EQ(finish(crew->begun[i]), 0);
    CHECK_OK(kin_free(crew->order));
}

bool crew_sees_processes(void)
{
#if defined(__SANITIZE_THREAD__)
    return false;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
    return false;
#endif
#endif
    return true;
}

void crew_start(struct crew *crew, enum crew_kind kind, unsigned count, crew_function *run, void *context)
{
    CHECK_LE(count, CREW_MOST);
    *crew = (struct crew){.kind = kind, .count = count, .run = run, .context = context};
    for (unsigned i = 0; i < count; i++) crew->member[i] = (struct crew_member){crew, i};
    if (kind == CREW_PROCESSES) {
        for (unsigned i = 0; i < count; i++) crew->process[i] = test_child(run_process, &crew->member[i]);
    } else if (kind == CREW_EXEC) {
        begin_by_exec(crew);
    } else if (kind == CREW_THREADS) {
        start_threads(crew, 0, 1);
    } else if (!crew_sees_processes()) {
        SKIP("ThreadSanitizer does not see what other processes do");
    } else if (kind == CREW_MIXED_EXEC) {
        begin_by_exec(crew);
        start_threads(crew, 0, 2);
    } else {
        crew->process[0] = test_child(run_odd_threads, crew);
        start_threads(crew, 0, 2);
    }
}

void crew_join(struct crew *crew)
{
    if (crew->kind == CREW_PROCESSES) {
        for (unsigned i = 0; i < crew->count; i++) CHECK_EQ(test_collect(crew->process[i]), 0);
    } else if (crew->kind == CREW_EXEC) {
        end_by_exec(crew);
    } else if (crew->kind == CREW_THREADS) {
        join_threads(crew, 0, 1);
    } else if (crew->kind == CREW_MIXED_EXEC) {
        join_threads(crew, 0, 2);
        end_by_exec(crew);
    } else {
        join_threads(crew, 0, 2);
        CHECK_EQ(test_collect(crew->process[0]), 0);
    }
}
