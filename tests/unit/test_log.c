/* test_log.c: what processes say arrives whole, where it was wanted, and costs nobody his time. */
#define _GNU_SOURCE
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/lock.h>
#include <kin/log.h>
#include <kin/process.h>
#include <kin/publish.h>

static void start_and_join(kin_process_function *function, void *argument, const char *name)
{
    kin_process *process = NULL;
    CHECK_OK(kin_process_start(&process, function, argument, &(kin_process_options){.name = name}));
    CHECK_OK(kin_process_join(process, KIN_FOREVER));
    int code = -1;
    CHECK_OK(kin_process_exit_code(process, &code));
    CHECK_EQ(code, 0);
    CHECK_OK(kin_process_close(process));
}

static int idle(void *unused)
{
    (void)unused;
    return 0;
}

static void ignore(enum kin_log_level level, const char *line, void *context)
{
    (void)level;
    (void)line;
    (void)context;
}

/* That it forks with threads, which a sanitizer may have, the library says once in a program. */
static void let_it_warn(void)
{
    kin_log_set(ignore, KIN_LOG_WARNING, NULL);
    start_and_join(idle, NULL, NULL);
    kin_log_set(NULL, KIN_LOG_WARNING, NULL);
}

/* ---- a hook of this process ------------------------------------------------------------------------ */

static void note_line(enum kin_log_level level, const char *line, void *noted)
{
    snprintf(noted, 600, "%d %s", (int)level, line);
}

TEST(a_line_goes_to_the_hook)
{
    char noted[600] = "";
    kin_log(KIN_LOG_ERROR, "nobody listens");
    kin_log_set(note_line, KIN_LOG_INFO, noted);
    kin_log(KIN_LOG_DEBUG, "too low");
    CHECK_STR(noted, "");
    kin_log(KIN_LOG_WARNING, "%d of %s", 3, "four");
    CHECK_STR(noted, "30 3 of four");
    kin_log(KIN_LOG_INFO, "%0600d", 1);
    CHECK_EQ(strlen(noted), 3 + 500);
    kin_log_set(NULL, KIN_LOG_DEBUG, NULL);
    kin_log(KIN_LOG_ERROR, "nobody listens");
    CHECK_EQ(strlen(noted), 3 + 500);
}

static int say_two(void *unused)
{
    (void)unused;
    kin_log(KIN_LOG_INFO, "one");
    kin_log(KIN_LOG_ERROR, "two");
    kin_log(KIN_LOG_DEBUG, "three");
    return 0;
}

TEST(stderr_gets_levels_and_names)
{
    int ends[2], own = dup(2);
    char text[256];
    let_it_warn();
    CHECK_OK(pipe2(ends, O_CLOEXEC));
    CHECK_EQ(dup2(ends[1], 2), 2);
    kin_log_to_stderr(KIN_LOG_INFO);
    kin_log(KIN_LOG_WARNING, "zero");
    start_and_join(say_two, NULL, "speaker");
    kin_log_set(NULL, KIN_LOG_DEBUG, NULL);
    CHECK_EQ(dup2(own, 2), 2);
    close(own);
    close(ends[1]);
    ssize_t size = read(ends[0], text, sizeof text - 1);
    CHECK_GT(size, 0);
    text[size] = '\0';
    close(ends[0]);
    CHECK_STR(text, "[WARNING/MainProcess] zero\n[INFO/speaker] one\n[ERROR/speaker] two\n");
}

/* ---- one process collects for all -------------------------------------------------------------------- */

struct seen {
    _Atomic unsigned count;
    kin_log_record last;
    char process[64];
    char line[600];
    kin_lock *lock; /* taken by the collector: it may call kin */
    unsigned next[8];
    bool out_of_order;
};

static void see(const kin_log_record *record, void *context)
{
    struct seen *seen = context;
    unsigned speaker, number;
    if (seen->lock != NULL) CHECK_OK(kin_lock_acquire(seen->lock, KIN_FOREVER));
    seen->last = *record;
    snprintf(seen->process, sizeof seen->process, "%s", record->process);
    snprintf(seen->line, sizeof seen->line, "%s", record->line);
    if (sscanf(record->line, "speaker %u says %u", &speaker, &number) == 2) {
        CHECK_LT(speaker, 8);
        seen->out_of_order |= number < seen->next[speaker];
        seen->next[speaker] = number + 1;
        const char *rest = strchr(record->line, '.');
        CHECK(rest != NULL);
        CHECK_EQ(strspn(rest, "."), 5 + number % 300);
        CHECK_EQ(strlen(rest), 5 + number % 300);
    }
    if (seen->lock != NULL) CHECK_OK(kin_lock_release(seen->lock));
    atomic_fetch_add(&seen->count, 1);
}

TEST(lines_of_all_processes_are_collected)
{
    struct seen seen = {0};
    struct timespec now;
    let_it_warn();
    CHECK_OK(kin_lock_open(&seen.lock));
    CHECK_OK(kin_log_collect(see, KIN_LOG_INFO, &seen));
    CHECK_RC(kin_log_collect(see, KIN_LOG_INFO, &seen), -EBUSY);
    kin_log(KIN_LOG_WARNING, "own");
    test_until(atomic_load(&seen.count) == 1);
    CHECK_OK(kin_lock_acquire(seen.lock, KIN_FOREVER));
    CHECK_STR(seen.process, "MainProcess");
    CHECK_STR(seen.line, "own");
    CHECK_EQ(seen.last.pid, getpid());
    CHECK_EQ(seen.last.level, KIN_LOG_WARNING);
    CHECK_OK(clock_gettime(CLOCK_REALTIME, &now));
    CHECK_LE(seen.last.time_ns / 1000000000, now.tv_sec);
    CHECK_GE(seen.last.time_ns / 1000000000, now.tv_sec - 100);
    CHECK_OK(kin_lock_release(seen.lock));
    start_and_join(say_two, NULL, "speaker");
    CHECK_OK(kin_log_collect_end());
    /* All that was said before. */
    CHECK_EQ(atomic_load(&seen.count), 3);
    CHECK_STR(seen.process, "speaker");
    CHECK_STR(seen.line, "two");
    kin_log(KIN_LOG_ERROR, "nobody listens");
    CHECK_RC(kin_log_collect_end(), -EPERM);
    CHECK_EQ(kin_log_lost(), 0);
    /* And again. */
    CHECK_OK(kin_log_collect(see, KIN_LOG_DEBUG, &seen));
    start_and_join(say_two, NULL, NULL);
    CHECK_OK(kin_log_collect_end());
    CHECK_EQ(atomic_load(&seen.count), 6);
    CHECK_OK(kin_lock_close(seen.lock));
    CHECK_RC(kin_log_collect(NULL, KIN_LOG_INFO, NULL), -EINVAL);
    CHECK_RC(kin_log_collect(see, 0, NULL), -EINVAL);
}

#define SPEAKERS 4
#define LINES    300

static int say_many(void *speaker)
{
    char dots[320];
    memset(dots, '.', sizeof dots);
    for (unsigned i = 0; i < LINES; i++)
        kin_log(KIN_LOG_INFO, "speaker %u says %u%.*s", (unsigned)(intptr_t)speaker, i, (int)(5 + i % 300),
                dots);
    return 0;
}

TEST(lines_do_not_mix)
{
    struct seen seen = {0};
    kin_process *process[SPEAKERS];
    let_it_warn();
    CHECK_OK(kin_log_collect(see, KIN_LOG_INFO, &seen));
    for (intptr_t i = 0; i < SPEAKERS; i++)
        CHECK_OK(kin_process_start(&process[i], say_many, (void *)i, NULL));
    for (int i = 0; i < SPEAKERS; i++) {
        CHECK_OK(kin_process_join(process[i], KIN_FOREVER));
        CHECK_OK(kin_process_close(process[i]));
    }
    CHECK_OK(kin_log_collect_end());
    /* Whole, each speaker's in order, and what is missing was counted. */
    CHECK_EQ(atomic_load(&seen.count) + kin_log_lost(), SPEAKERS * LINES);
    CHECK(!seen.out_of_order);
}

/* ---- a collector that does not keep up, and one that is gone ------------------------------------------ */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void wait_at_gate(const kin_log_record *record, void *count)
{
    (void)record;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    atomic_fetch_add((_Atomic unsigned *)count, 1);
}

#define FLOOD 20000

static int flood(void *unused)
{
    (void)unused;
    for (int i = 0; i < FLOOD; i++) kin_log(KIN_LOG_INFO, "%0400d", i);
    return 0;
}

TEST(who_speaks_does_not_wait_for_a_slow_collector)
{
    _Atomic unsigned count = 0;
    let_it_warn();
    pthread_mutex_lock(&gate);
    CHECK_OK(kin_log_collect(wait_at_gate, KIN_LOG_INFO, &count));
    /* Returns although nobody takes a line. */
    start_and_join(flood, NULL, NULL);
    CHECK_GT(kin_log_lost(), 0);
    pthread_mutex_unlock(&gate);
    CHECK_OK(kin_log_collect_end());
    CHECK_EQ(atomic_load(&count) + kin_log_lost(), FLOOD);
}

static void collect_and_die(void *collected)
{
    struct seen *seen = collected;
    CHECK_OK(kin_log_collect(see, KIN_LOG_INFO, seen));
    kill(getpid(), SIGKILL);
}

TEST(the_place_of_a_killed_collector_is_taken)
{
    struct seen seen = {0};
    int status = test_collect(test_child(collect_and_die, &seen));
    CHECK(WIFSIGNALED(status));
    CHECK_OK(kin_log_collect(see, KIN_LOG_INFO, &seen));
    kin_log(KIN_LOG_INFO, "here");
    CHECK_OK(kin_log_collect_end());
    CHECK_STR(seen.line, "here");
}

/* ---- others of the family ----------------------------------------------------------------------------- */

struct meeting {
    char name[32];
    struct seen seen;
    _Atomic bool published;
};

static void collect_for_strangers(void *context)
{
    struct meeting *meeting = context;
    CHECK_OK(kin_family_publish(meeting->name, KIN_NOW));
    CHECK_OK(kin_log_collect(see, KIN_LOG_INFO, &meeting->seen));
    atomic_store(&meeting->published, true);
    test_until(atomic_load(&meeting->seen.count) == 1);
    CHECK_OK(kin_log_collect_end());
}

TEST(a_stranger_that_joins_is_collected_from, .cold = true)
{
    struct meeting *meeting = test_shared(sizeof *meeting);
    snprintf(meeting->name, sizeof meeting->name, "kin-log-%d", getpid());
    pid_t collector = test_child(collect_for_strangers, meeting);
    test_until(atomic_load(&meeting->published));
    CHECK_OK(kin_family_join(meeting->name, kin_in_s(20)));
    kin_log(KIN_LOG_WARNING, "hello from elsewhere");
    CHECK_EQ(test_collect(collector), 0);
    CHECK_EQ(meeting->seen.last.pid, getpid());
    CHECK_STR(meeting->seen.line, "hello from elsewhere");
    /* Nobody collects any more. */
    kin_log(KIN_LOG_WARNING, "again");
    CHECK_EQ(kin_log_lost(), 0);
    CHECK_OK(kin_log_collect(see, KIN_LOG_INFO, &meeting->seen));
    CHECK_OK(kin_log_collect_end());
}

static void end_after_children(void *shared)
{
    kin_process *process = NULL;
    CHECK_OK(kin_log_collect(see, KIN_LOG_INFO, shared));
    CHECK_OK(kin_process_start(&process, say_two, NULL, NULL));
    exit(0); /* waits for the child, then delivers what it said */
}

TEST(the_last_lines_are_delivered_at_exit)
{
    struct seen *seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(seen != MAP_FAILED);
    let_it_warn();
    CHECK_EQ(test_collect(test_child(end_after_children, seen)), 0);
    CHECK_EQ(atomic_load(&seen->count), 2);
    CHECK_STR(seen->line, "two");
    munmap(seen, sizeof *seen);
}

TEST(a_killed_speaker_leaves_whole_lines)
{
    kin_process *process = NULL;
    struct seen seen = {0};
    CHECK_OK(kin_log_collect(see, KIN_LOG_INFO, &seen));
    for (int i = 0; i < 5; i++) {
        CHECK_OK(kin_process_start(&process, say_many, (void *)(intptr_t)i, NULL));
        unsigned before = atomic_load(&seen.count);
        test_until(atomic_load(&seen.count) > before || kin_process_is_alive(process) == 0);
        CHECK_OK(kin_process_kill(process));
        CHECK_OK(kin_process_join(process, KIN_FOREVER));
        CHECK_OK(kin_process_close(process));
    }
    /* `see` checks each. */
    kin_log(KIN_LOG_INFO, "last");
    CHECK_OK(kin_log_collect_end());
    CHECK_STR(seen.line, "last");
    CHECK(!seen.out_of_order);
}
