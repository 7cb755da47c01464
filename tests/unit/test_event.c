/* test_event.c: the event's contract, one promise or error at a time. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/faults.h"
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/event.h>
#include <kin/memory.h>

struct shared {
    kin_event *event;
    kin_event *answer;
    _Atomic int waiting;
    _Atomic int woken;
    _Atomic int rc;
};

static struct shared *open_shared(void)
{
    struct shared *shared = test_shared(sizeof *shared);
    CHECK_OK(kin_event_open(&shared->event, NULL));
    CHECK_OK(kin_event_open(&shared->answer, NULL));
    return shared;
}

static void close_shared(struct shared *shared)
{
    CHECK_OK(kin_event_close(shared->event));
    CHECK_OK(kin_event_close(shared->answer));
}

TEST(is_set_and_cleared)
{
    struct books books = books_open();
    kin_event *event = NULL;
    CHECK_RC(kin_event_open(&event, NULL), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_RC(kin_event_is_set(event), 0);
        CHECK_RC(kin_event_wait(event, KIN_NOW), -ETIMEDOUT);
        CHECK_RC(kin_event_wait(event, kin_in_ms(5)), -ETIMEDOUT);
        CHECK_RC(kin_event_clear(event), 0);
        for (int n = 0; n < 2; n++) {
            CHECK_RC(kin_event_set(event), 0);
            CHECK_RC(kin_event_is_set(event), 1);
            CHECK_RC(kin_event_wait(event, KIN_NOW), 0);
            CHECK_RC(kin_event_wait(event, KIN_FOREVER), 0);
        }
        CHECK_RC(kin_event_clear(event), 0);
    }
    CHECK_RC(kin_event_close(event), 0);
    books_check_wakes(&books);
}

TEST(may_be_set_from_the_beginning)
{
    kin_event *event = NULL;
    CHECK_OK(kin_event_open(&event, &(kin_event_options){.set = true}));
    CHECK_RC(kin_event_is_set(event), 1);
    CHECK_RC(kin_event_wait(event, KIN_NOW), 0);
    CHECK_OK(kin_event_close(event));
    /* The same memory again, without it. */
    CHECK_OK(kin_event_open(&event, NULL));
    CHECK_RC(kin_event_is_set(event), 0);
    CHECK_OK(kin_event_close(event));
}

static void check_none(kin_event *event, int expected)
{
    CHECK_RC(kin_event_set(event), expected);
    CHECK_RC(kin_event_clear(event), expected);
    CHECK_RC(kin_event_is_set(event), expected);
    CHECK_RC(kin_event_wait(event, KIN_FOREVER), expected);
}

TEST(bad_handles_are_refused)
{
    struct books books = books_open();
    long long private[16] = {0};
    void *block = kin_alloc(256);
    kin_event *event = NULL;
    CHECK_RC(kin_event_open(NULL, NULL), -EINVAL);
    CHECK_RC(kin_event_close(NULL), 0);
    check_none(NULL, -EINVAL);
    CHECK_OK(kin_event_open(&event, NULL));
    void *wrong[] = {private, block, (char *)event + 1, (char *)event + 16, (void *)-64};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        test_context("pointer %zu", i);
        check_none(wrong[i], KIN_EFOREIGN);
        CHECK_RC(kin_event_close(wrong[i]), KIN_EFOREIGN);
    }
    test_context(NULL);
    CHECK_RC(kin_free(event), -EINVAL);
    CHECK_OK(kin_event_close(event));
    check_none(event, KIN_ECLOSED);
    CHECK_RC(kin_event_close(event), KIN_ECLOSED);
    CHECK_OK(kin_free(block));
    books_check_wakes(&books);
}

TEST_COLD(before_there_is_a_family_nothing_is_an_event)
{
    long long private[16] = {0};
    CHECK_RC(kin_event_set((kin_event *)private), KIN_EFOREIGN);
    CHECK_RC(kin_event_is_set((kin_event *)private), KIN_EFOREIGN);
    CHECK_RC(kin_event_wait((kin_event *)private, KIN_NOW), KIN_EFOREIGN);
}

/* ---- waiting ---------------------------------------------------------------------------------------- */

static void wait_for_it(void *context, unsigned index)
{
    struct shared *shared = context;
    (void)index;
    shared->waiting++;
    CHECK_RC(kin_event_wait(shared->event, KIN_FOREVER), 0);
    shared->woken++;
}

static void one_set_wakes_all(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared();
    struct crew crew;
    crew_start(&crew, kind, 8, wait_for_it, shared);
    test_until(books_sleepers() == 8);
    CHECK_EQ(shared->woken, 0);
    CHECK_OK(kin_event_set(shared->event));
    crew_join(&crew);
    CHECK_EQ(shared->woken, 8);
    close_shared(shared);
    books_check_wakes(&books);
}
CREW_TEST(one_set_wakes_all)

static void a_clear_that_follows_loses_nobody(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared();
    struct crew crew;
    crew_start(&crew, kind, 8, wait_for_it, shared);
    test_until(books_sleepers() == 8);
    CHECK_OK(kin_event_set(shared->event));
    CHECK_OK(kin_event_clear(shared->event));
    crew_join(&crew);
    CHECK_EQ(shared->woken, 8);
    CHECK_RC(kin_event_is_set(shared->event), 0);
    close_shared(shared);
    books_check_wakes(&books);
}
CREW_TEST(a_clear_that_follows_loses_nobody)

/* Two take turns, each waiting for the other. */
#define TURNS 20000

static void take_turns(void *context, unsigned index)
{
    struct shared *shared = context;
    kin_event *mine = index == 0 ? shared->event : shared->answer;
    kin_event *other = index == 0 ? shared->answer : shared->event;
    for (int i = 0; i < (test_sanitized() ? TURNS / 10 : TURNS); i++) {
        if (index == 0) CHECK_OK(kin_event_set(other));
        CHECK_RC(kin_event_wait(mine, KIN_FOREVER), 0);
        CHECK_OK(kin_event_clear(mine));
        if (index == 1) CHECK_OK(kin_event_set(other));
    }
}

static void turns_are_taken(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared();
    crew_run(kind, 2, take_turns, shared);
    close_shared(shared);
    books_check_wakes(&books);
}
CREW_TEST(turns_are_taken)

static void wait_till_closed(void *context, unsigned index)
{
    struct shared *shared = context;
    (void)index;
    CHECK_RC(kin_event_wait(shared->event, KIN_FOREVER), KIN_ECLOSED);
}

static void closing_wakes_all(enum crew_kind kind)
{
    struct books books = books_open();
    struct shared *shared = open_shared();
    struct crew crew;
    crew_start(&crew, kind, 4, wait_till_closed, shared);
    test_until(books_sleepers() == 4);
    CHECK_OK(kin_event_close(shared->event));
    /* Another one in the same memory is none of theirs. */
    CHECK_OK(kin_event_open(&shared->event, NULL));
    crew_join(&crew);
    close_shared(shared);
    books_check_wakes(&books);
}
CREW_TEST(closing_wakes_all)

/* ---- deaths ------------------------------------------------------------------------------------------ */

static void wait_for_ever(void *argument)
{
    struct shared *shared = argument;
    shared->waiting++;
    kin_event_wait(shared->event, KIN_FOREVER);
}

TEST(killed_waiters_hold_nobody_up)
{
    struct books books = books_open();
    struct shared *shared = open_shared();
    struct crew crew;
    pid_t victim[4];
    for (int i = 0; i < 4; i++) victim[i] = test_child(wait_for_ever, shared);
    crew_start(&crew, CREW_PROCESSES, 4, wait_for_it, shared);
    test_until(books_sleepers() == 8);
    for (int i = 0; i < 4; i++) test_kill(victim[i]);
    CHECK_OK(kin_event_set(shared->event));
    crew_join(&crew);
    CHECK_OK(kin_event_clear(shared->event));
    CHECK_OK(kin_event_set(shared->event));
    close_shared(shared);
    books_check_blocks(&books);
}

/* ---- signal handlers ----------------------------------------------------------------------------------- */

static kin_event *set_by_handler;
static volatile sig_atomic_t handled;

static void handler(int signal)
{
    (void)signal;
    int saved = errno;
    handled = kin_event_set(set_by_handler) == 0 ? handled + 1 : -1000000;
    errno = saved;
}

static void wait_and_clear(void *argument)
{
    struct shared *shared = argument;
    for (;;) {
        CHECK_RC(kin_event_wait(shared->event, KIN_FOREVER), 0);
        CHECK_OK(kin_event_clear(shared->event));
        shared->woken++;
    }
}

/* The handler interrupts the main program inside the same event, and in the midst of a wait. */
TEST(is_set_in_a_signal_handler)
{
    struct books books = books_open();
    struct shared *shared = open_shared();
    pid_t child = test_child(wait_and_clear, shared);
    set_by_handler = shared->event;
    struct sigaction action = {.sa_handler = handler};
    struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
    while (handled >= 0 && (handled < 500 || shared->woken == 0)) {
        CHECK_OK(kin_event_set(shared->event));
        int rc = kin_event_wait(shared->event, kin_in_ms(1));
        CHECK(rc == 0 || rc == -ETIMEDOUT);
        CHECK_OK(kin_event_clear(shared->event));
        CHECK_OK(kin_event_is_set(shared->event));
    }
    CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
    CHECK_GE(handled, 500);
    test_kill(child);
    close_shared(shared);
    books_check_blocks(&books);
}

static void set_without_joining(void *argument)
{
    struct shared *shared = argument;
    set_by_handler = shared->event;
    CHECK_NE(signal(SIGUSR1, handler), SIG_ERR);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(handled, 1);
}

TEST(may_be_the_first_call_of_a_process)
{
    struct shared *shared = open_shared();
    struct crew crew;
    crew_start(&crew, CREW_PROCESSES, 1, wait_for_it, shared);
    test_until(books_sleepers() == 1);
    CHECK_EQ(test_collect(test_child(set_without_joining, shared)), 0);
    crew_join(&crew);
    close_shared(shared);
}

/* ---- faults ------------------------------------------------------------------------------------------- */

static int make(void *context)
{
    return kin_event_open(context, NULL);
}

static int unmake(void *context)
{
    return kin_event_close(*(kin_event **)context);
}

TEST(opening_under_faults)
{
    kin_event *event = NULL;
    struct faults_report report =
        faults(&(struct faults){.make = make, .unmake = unmake, .context = &event, .cold = true});
    CHECK_GT(report.failures, 0);
}
