/* crew.c: see crew.h.  Processes are forked before any thread is started. */
#include "crew.h"

#include <string.h>

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
    } else if (kind == CREW_THREADS) {
        start_threads(crew, 0, 1);
    } else if (!crew_sees_processes()) {
        SKIP("ThreadSanitizer does not see what other processes do");
    } else {
        crew->process[0] = test_child(run_odd_threads, crew);
        start_threads(crew, 0, 2);
    }
}

void crew_join(struct crew *crew)
{
    if (crew->kind == CREW_PROCESSES) {
        for (unsigned i = 0; i < crew->count; i++) CHECK_EQ(test_collect(crew->process[i]), 0);
    } else if (crew->kind == CREW_THREADS) {
        join_threads(crew, 0, 1);
    } else {
        join_threads(crew, 0, 2);
        CHECK_EQ(test_collect(crew->process[0]), 0);
    }
}
