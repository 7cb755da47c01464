/* test_wait_sync.c: waiting for semaphores and conditions together with other things: what is ready, that no
 * notification is lost, deaths, and a descriptor for an event loop. */
#define _GNU_SOURCE
#include "support/books.h"
#include "support/crew.h"
#include "support/test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/condition.h>
#include <kin/error.h>
#include <kin/event.h>
#include <kin/memory.h>
#include <kin/pool.h>
#include <kin/queue.h>
#include <kin/semaphore.h>
#include <kin/wait.h>

#include "memory/wait.h"
#include "memory/waitable.h"

/* ---- semaphores ---------------------------------------------------------------------------------------- */

static void permits_are_ready(bool plain)
{
    kin_semaphore *semaphore = NULL;
    CHECK_OK(kin_semaphore_open(&semaphore, 2, &(kin_semaphore_options){.plain = plain}));
    kin_waitable items[] = {kin_on_descriptor(-1), kin_on_semaphore(semaphore)};
    items[0].kind = KIN_WAITABLE_NONE;
    CHECK_RC(kin_wait(items, 2, KIN_NOW), 1);
    CHECK(items[1].ready);
    CHECK_RC(kin_semaphore_acquire(semaphore, KIN_NOW), 0);
    CHECK_RC(kin_wait(items, 2, KIN_FOREVER), 1);
    CHECK_RC(kin_semaphore_acquire(semaphore, KIN_NOW), 0);
    CHECK_RC(kin_wait(items, 2, KIN_NOW), 0);
    CHECK_RC(kin_wait(items, 2, kin_in_ms(2)), 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_OK(kin_semaphore_release(semaphore));
        _exit(0);
    }
    CHECK_RC(kin_wait(items, 2, KIN_FOREVER), 1);
    CHECK_RC(kin_semaphore_acquire(semaphore, KIN_NOW), 0);
    CHECK_EQ(test_collect(child), 0);
    CHECK_OK(kin_semaphore_close(semaphore));
}

TEST(a_semaphore_is_ready_when_a_permit_is_free)
{
    permits_are_ready(false);
    permits_are_ready(true);
}

TEST(a_permit_that_comes_back_by_a_death_is_told)
{
    kin_semaphore *semaphore = NULL;
    int ends[2];
    char byte;
    CHECK_OK(kin_semaphore_open(&semaphore, 1, NULL));
    CHECK_EQ(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_RC(kin_semaphore_acquire(semaphore, KIN_NOW), 0);
        CHECK_EQ(write(ends[1], "a", 1), 1);
        for (;;) pause();
    }
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    kin_waitable item = kin_on_semaphore(semaphore);
    CHECK_RC(kin_wait(&item, 1, KIN_NOW), 0);
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_RC(kin_wait(&item, 1, KIN_FOREVER), 1);
    test_collect(child);
    close(ends[0]);
    close(ends[1]);
    CHECK_OK(kin_semaphore_close(semaphore));
}

enum { ROUNDS = 300 };

struct tokens {
    kin_semaphore *there;
    kin_semaphore *back;
};

/* Each token is passed on by one that was told of it by kin_wait. */
static void pass_tokens(void *context, unsigned index)
{
    struct tokens *tokens = context;
    kin_semaphore *mine = index % 2 == 0 ? tokens->there : tokens->back;
    kin_semaphore *others = index % 2 == 0 ? tokens->back : tokens->there;
    kin_waiter *waiter = NULL;
    kin_waitable item = kin_on_semaphore(mine), ready;
    CHECK_OK(kin_waiter_open(&waiter));
    CHECK_OK(kin_waiter_add(waiter, &item));
    for (int round = 0; round < ROUNDS; round++) {
        do CHECK_RC(kin_waiter_wait(waiter, &ready, 1, KIN_FOREVER), 1);
        while (kin_semaphore_acquire(mine, KIN_NOW) == -ETIMEDOUT);
        CHECK_OK(kin_semaphore_release(others));
    }
    CHECK_OK(kin_waiter_close(waiter));
}

static void tokens_go_round(enum crew_kind kind)
{
    struct tokens *tokens = kin_alloc(sizeof *tokens);
    CHECK_OK(kin_semaphore_open(&tokens->there, 1, &(kin_semaphore_options){.plain = true}));
    CHECK_OK(kin_semaphore_open(&tokens->back, 0, &(kin_semaphore_options){.plain = true}));
    crew_run(kind, 4, pass_tokens, tokens);
    CHECK_EQ(kin_semaphore_value(tokens->there), 1);
    CHECK_OK(kin_semaphore_close(tokens->there));
    CHECK_OK(kin_semaphore_close(tokens->back));
    kin_free(tokens);
}
CREW_TEST(tokens_go_round)

/* ---- conditions ---------------------------------------------------------------------------------------- */

TEST(a_condition_is_ready_when_it_was_notified_since)
{
    kin_condition *condition = NULL;
    CHECK_OK(kin_condition_open(&condition, NULL));
    CHECK_RC(kin_condition_acquire(condition, KIN_FOREVER), 0);
    CHECK_OK(kin_condition_notify_all(condition));
    kin_waitable item = kin_on_condition(condition);
    CHECK_RC(kin_condition_release(condition), 0);
    CHECK_RC(kin_wait(&item, 1, KIN_NOW), 0);
    CHECK_RC(kin_wait(&item, 1, kin_in_ms(2)), 0);
    /* Before the wait begins. */
    CHECK_RC(kin_condition_acquire(condition, KIN_FOREVER), 0);
    CHECK_OK(kin_condition_notify(condition, 1));
    CHECK_RC(kin_condition_release(condition), 0);
    CHECK_RC(kin_wait(&item, 1, KIN_FOREVER), 1);
    CHECK_RC(kin_wait(&item, 1, KIN_FOREVER), 1);
    /* While it goes on. */
    CHECK_RC(kin_condition_acquire(condition, KIN_FOREVER), 0);
    item = kin_on_condition(condition);
    CHECK_RC(kin_condition_release(condition), 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_OK(kin_condition_acquire(condition, KIN_FOREVER));
        CHECK_OK(kin_condition_notify(condition, 1));
        CHECK_OK(kin_condition_release(condition));
        _exit(0);
    }
    CHECK_RC(kin_wait(&item, 1, KIN_FOREVER), 1);
    CHECK_EQ(test_collect(child), 0);
    item = kin_on_condition(condition);
    CHECK_RC(kin_wait(&item, 1, KIN_NOW), 0);
    CHECK_OK(kin_condition_close(condition));
    CHECK_RC(kin_wait(&item, 1, KIN_NOW), 1);
    item = kin_on_condition(NULL);
    CHECK_RC(kin_wait(&item, 1, KIN_NOW), -EINVAL);
}

TEST(an_owner_of_the_lock_that_died_is_told)
{
    kin_condition *condition = NULL;
    CHECK_OK(kin_condition_open(&condition, NULL));
    kin_waitable item = kin_on_condition(condition);
    pid_t child = fork();
    if (child == 0) {
        CHECK_RC(kin_condition_acquire(condition, KIN_FOREVER), 0);
        raise(SIGKILL);
    }
    CHECK_RC(kin_wait(&item, 1, KIN_FOREVER), 1);
    test_collect(child);
    CHECK_RC(kin_condition_acquire(condition, KIN_FOREVER), KIN_OWNER_DIED);
    CHECK_RC(kin_condition_release(condition), 0);
    CHECK_OK(kin_condition_close(condition));
}

struct box {
    kin_condition *changed;
    unsigned turn; /* under the condition's lock */
    unsigned others;
};

/* Waits for its turn by kin_wait, those of odd index by kin_condition_wait: nobody loses a notification. */
static void take_turns(void *context, unsigned index)
{
    struct box *box = context;
    for (unsigned round = 0; round < ROUNDS; round++) {
        CHECK_OK(kin_condition_acquire(box->changed, KIN_FOREVER));
        while (box->turn % box->others != index) {
            if (index % 2 == 1) {
                CHECK_OK(kin_condition_wait(box->changed, KIN_FOREVER));
                continue;
            }
            kin_waitable item = kin_on_condition(box->changed);
            CHECK_OK(kin_condition_release(box->changed));
            CHECK_RC(kin_wait(&item, 1, KIN_FOREVER), 1);
            CHECK_OK(kin_condition_acquire(box->changed, KIN_FOREVER));
        }
        box->turn++;
        CHECK_OK(kin_condition_notify_all(box->changed));
        CHECK_OK(kin_condition_release(box->changed));
    }
}

static void turns_are_taken(enum crew_kind kind)
{
    struct books books = books_open();
    struct box *box = kin_alloc(sizeof *box);
    *box = (struct box){.others = 4};
    CHECK_OK(kin_condition_open(&box->changed, NULL));
    crew_run(kind, box->others, take_turns, box);
    CHECK_EQ(box->turn, box->others * ROUNDS);
    CHECK_OK(kin_condition_close(box->changed));
    kin_free(box);
    books_check(&books);
}
CREW_TEST(turns_are_taken)

/* ---- a descriptor --------------------------------------------------------------------------------------- */

TEST(a_descriptor_tells_of_both)
{
    kin_semaphore *semaphore = NULL;
    kin_condition *condition = NULL;
    kin_waiter *waiter = NULL;
    CHECK_OK(kin_semaphore_open(&semaphore, 0, NULL));
    CHECK_OK(kin_condition_open(&condition, NULL));
    CHECK_OK(kin_waiter_open(&waiter));
    kin_waitable items[] = {kin_on_semaphore(semaphore), kin_on_condition(condition)}, ready[2];
    for (int i = 0; i < 2; i++) CHECK_OK(kin_waiter_add(waiter, &items[i]));
    struct pollfd polled = {.fd = kin_waiter_fileno(waiter), .events = POLLIN};
    CHECK_RC(kin_waiter_wait(waiter, ready, 2, KIN_NOW), 0);
    for (int i = 0; i < 2; i++) {
        if (i == 0) CHECK_OK(kin_semaphore_release(semaphore));
        if (i == 1) {
            CHECK_OK(kin_condition_acquire(condition, KIN_FOREVER));
            CHECK_OK(kin_condition_notify(condition, 1));
            CHECK_OK(kin_condition_release(condition));
        }
        long count;
        do CHECK_EQ(poll(&polled, 1, -1), 1);
        while ((count = kin_waiter_wait(waiter, ready, 2, KIN_NOW)) == 0);
        CHECK_EQ(count, 1);
        CHECK_EQ(ready[0].kind, items[i].kind);
        if (i == 0) CHECK_RC(kin_semaphore_acquire(semaphore, KIN_NOW), 0);
    }
    /* A condition is told of again after it was looked at anew. */
    CHECK_OK(kin_waiter_remove(waiter, &items[1]));
    items[1] = kin_on_condition(condition);
    CHECK_OK(kin_waiter_add(waiter, &items[1]));
    CHECK_RC(kin_waiter_wait(waiter, ready, 2, KIN_NOW), 0);
    CHECK_OK(kin_waiter_close(waiter));
    CHECK_OK(kin_semaphore_close(semaphore));
    CHECK_OK(kin_condition_close(condition));
}

/* ---- what is closed, and another opened in its place ----------------------------------------------------- */

struct kind {
    int (*open)(void **object);
    int (*close)(void *object);
    kin_waitable (*item)(const void *object);
};

static int event_open(void **object)
{
    return kin_event_open((kin_event **)object, NULL);
}
static int event_close(void *object)
{
    return kin_event_close(object);
}
static kin_waitable event_item(const void *object)
{
    return kin_on_event(object);
}

static int semaphore_open(void **object)
{
    return kin_semaphore_open((kin_semaphore **)object, 0, NULL);
}
static int semaphore_close(void *object)
{
    return kin_semaphore_close(object);
}
static kin_waitable semaphore_item(const void *object)
{
    return kin_on_semaphore(object);
}

static int queue_open(void **object)
{
    return kin_queue_open((kin_queue **)object, NULL);
}
static int queue_close(void *object)
{
    return kin_queue_close(object);
}
static kin_waitable queue_item(const void *object)
{
    return kin_on_queue(object);
}

/* The first result of a pool, and of the next one. */
static kin_pool *pool;

static int nothing(const void *argument, size_t size, kin_reply *reply)
{
    (void)argument;
    (void)size;
    (void)reply;
    return 0;
}
KIN_BYTES(nothing)

static int result_open(void **object)
{
    int rc = kin_pool_open(&pool, &(kin_pool_options){.workers = 1});
    if (rc == 0) rc = kin_pool_pause(pool);
    if (rc == 0)
        rc = kin_pool_submit(pool, (kin_result **)object, KIN_FN(nothing), NULL, 0, KIN_FOREVER, NULL);
    return rc;
}
static int result_close(void *object)
{
    (void)object;
    return kin_pool_free(pool);
}
static kin_waitable result_item(const void *object)
{
    return kin_on_result(object);
}

static const struct kind kinds[] = {{event_open, event_close, event_item},
                                    {semaphore_open, semaphore_close, semaphore_item},
                                    {queue_open, queue_close, queue_item},
                                    {result_open, result_close, result_item}};

/* Closes the object and opens another one at its address. */
static void replace(const struct kind *kind, void *object)
{
    void *next = NULL;
    CHECK_OK(kind->close(object));
    CHECK_OK(kind->open(&next));
    CHECK_EQ(next, object);
}

TEST(a_waiter_does_not_take_the_next_one_for_its_own)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        void *object = NULL;
        kin_waiter *waiter = NULL;
        kin_waitable ready;
        CHECK_OK(kinds[i].open(&object));
        CHECK_OK(kin_waiter_open(&waiter));
        kin_waitable item = kinds[i].item(object);
        CHECK_OK(kin_waiter_add(waiter, &item));
        CHECK_RC(kin_waiter_wait(waiter, &ready, 1, KIN_NOW), 0);
        replace(&kinds[i], object);
        CHECK_RC(kin_waiter_wait(waiter, &ready, 1, KIN_NOW), 1);
        /* Added anew it is the new one. */
        CHECK_OK(kin_waiter_remove(waiter, &item));
        CHECK_OK(kin_waiter_add(waiter, &item));
        CHECK_RC(kin_waiter_wait(waiter, &ready, 1, KIN_NOW), 0);
        CHECK_OK(kin_waiter_close(waiter));
        CHECK_OK(kinds[i].close(object));
    }
}

static void wait_once(void *context)
{
    kin_waitable *item = context;
    CHECK_RC(kin_wait(item, 1, KIN_FOREVER), 1);
}

TEST(who_waits_does_not_take_the_next_one_for_its_own)
{
    for (size_t round = 0; round < 30; round++) {
        const struct kind *kind = &kinds[round % (sizeof kinds / sizeof *kinds)];
        void *object = NULL;
        CHECK_OK(kind->open(&object));
        kin_waitable item = kind->item(object);
        struct kin__wait_point *point = &kin__waitable_classes[item.kind]->event(&item)->point;
        pid_t child = test_child(wait_once, &item);
        test_until(kin__waiters_any(point));
        CHECK_EQ(kill(child, SIGSTOP), 0);
        replace(kind, object);
        CHECK_EQ(kill(child, SIGCONT), 0);
        CHECK_EQ(test_collect(child), 0);
        CHECK_OK(kind->close(object));
    }
}
