/* test_pool_remote_loss.c: workers in other programs that are lost while many items are on the way there: only the
 * item is charged that is to blame, and the others are run again. */
#define _GNU_SOURCE
#include "support/test.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kin/error.h>
#include <kin/imap.h>
#include <kin/listener.h>
#include <kin/pool.h>
#include <kin/worker.h>

#define KEY "open sesame"

/* What ends the program of the worker when it is run, and how often it may. */
#define CULPRIT   1480
#define LOST_MOST 12

/* What a test and the functions of its tasks share besides: anonymous memory, not the family's.
 *   program   the program of the worker
 *   lost      how many were, or are about to be, killed by an item
 *   may       how many may be
 *   hold      1: the culprit waits instead; 2: it does */
static struct notes {
    _Atomic pid_t program;
    _Atomic int lost, may, hold;
} * notes;

static int square(const int *in, long *out)
{
    if (*in == CULPRIT && atomic_load(&notes->hold) != 0) {
        int waits = 1;
        atomic_compare_exchange_strong(&notes->hold, &waits, 2);
        while (atomic_load(&notes->hold) == 2) kin_clock();
    }
    if (*in == CULPRIT && atomic_load(&notes->lost) < atomic_load(&notes->may)) {
        atomic_fetch_add(&notes->lost, 1);
        kill(atomic_load(&notes->program), SIGKILL);
        for (;;) pause();
    }
    *out = (long)*in * *in;
    return 0;
}
KIN_MAP(square, int, long)
KIN_TASK(square)

static void serve(void *address)
{
    kin_worker_options options = {.client = &(kin_client_options){.key = KEY, .key_size = sizeof KEY - 1},
                                  .workers = 1,
                                  .patience_ns = 20 * 1000000000LL};
    atomic_store(&notes->program, getpid());
    _exit(kin_worker_serve(address, &options) == 0 ? 0 : 1);
}

/* A new program whenever one was killed. */
static void serve_again(void *address)
{
    int status = 0;
    do status = test_collect(test_child(serve, address));
    while (WIFSIGNALED(status));
    _exit(WEXITSTATUS(status));
}

struct scene {
    kin_pool *pool;
    pid_t programs;
    char address[200];
};

static void scene_open(struct scene *scene, unsigned retries, int losses)
{
    static const kin_listener_options with_key = {.key = KEY, .key_size = sizeof KEY - 1};
    notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(notes != MAP_FAILED);
    atomic_store(&notes->may, losses);
    CHECK_OK(kin_pool_open(
        &scene->pool,
        &(kin_pool_options){.address = "tcp://127.0.0.1:0", .listener = &with_key, .retries = retries}));
    strncpy(scene->address, kin_pool_address(scene->pool), sizeof scene->address - 1);
    scene->address[sizeof scene->address - 1] = '\0';
    scene->programs = test_child(serve_again, scene->address);
}

static void scene_close(struct scene *scene)
{
    CHECK_OK(kin_pool_close(scene->pool));
    CHECK_OK(kin_pool_join(scene->pool, kin_in_s(30)));
    CHECK_OK(kin_pool_free(scene->pool));
    CHECK_EQ(test_collect(scene->programs), 0);
    CHECK_EQ(munmap(notes, sizeof *notes), 0);
}

/* ---- maps ------------------------------------------------------------------------------------------- */

TEST(only_the_item_that_is_to_blame_is_charged)
{
    enum { COUNT = 3000, RETRIES = 2 };
    static int in[COUNT];
    static long out[COUNT];
    struct scene scene;
    kin_failure failure = {0};
    size_t failed = 0;
    scene_open(&scene, RETRIES, LOST_MOST);
    for (int i = 0; i < COUNT; i++) in[i] = i;
    kin_map_options options = {
        .keep_going = true, .failures = &failure, .max_failures = 1, .failed = &failed};
    CHECK_RC(kin_pool_map_with(scene.pool, KIN_FN(square), in, out, COUNT, kin_in_s(50), &options),
             KIN_EFAILED);
    test_note("%d programs were lost", atomic_load(&notes->lost));
    CHECK_EQ(failed, 1);
    CHECK_EQ(failure.task, CULPRIT);
    CHECK_EQ(failure.cause, KIN_CAUSE_LOST);
    CHECK_EQ(failure.attempt, RETRIES + 1);
    for (int i = 0; i < COUNT; i++)
        if (i != CULPRIT) CHECK_EQ(out[i], (long)i * i);
    /* Once with the others, then alone. */
    CHECK_LE(atomic_load(&notes->lost), RETRIES + 2);
    scene_close(&scene);
}

enum { FEW = 100, PORTION = 20, PLACE = 5 };

/* The culprit is neither the first of its portion nor alone in it. */
static void choose(int in[FEW])
{
    for (int i = 0; i < FEW; i++) in[i] = i == PLACE ? CULPRIT : i;
}

static kin_result *start_map(const struct scene *scene, const int in[FEW])
{
    const void *inputs = in;
    kin_result *result = NULL;
    CHECK_OK(kin_pool_map_async(scene->pool, &result, KIN_FN(square), &inputs, FEW, KIN_FOREVER,
                                &(kin_map_options){.chunk = PORTION, .retries = -1}));
    return result;
}

static void check_squares(kin_result *result, const int in[FEW])
{
    const void *out = NULL;
    CHECK_OK(kin_result_wait(result, kin_in_s(50)));
    CHECK_EQ(kin_result_successful(result), 1);
    CHECK_RC(kin_result_view(result, &out), (long)(FEW * sizeof(long)));
    for (int i = 0; i < FEW; i++) CHECK_EQ(((const long *)out)[i], (long)in[i] * in[i]);
    CHECK_OK(kin_result_close(result));
}

TEST(nobody_is_charged_for_what_several_may_have_done)
{
    int in[FEW];
    struct scene scene;
    scene_open(&scene, 0, 1);
    choose(in);
    check_squares(start_map(&scene, in), in);
    CHECK_EQ(atomic_load(&notes->lost), 1);
    scene_close(&scene);
}

TEST(nobody_is_charged_for_the_death_of_a_deputy)
{
    int in[FEW], deputy = 0;
    struct scene scene;
    scene_open(&scene, 0, 0);
    choose(in);
    atomic_store(&notes->hold, 1);
    kin_result *result = start_map(&scene, in);
    test_until(atomic_load(&notes->hold) == 2);
    CHECK_RC(kin_pool_workers(scene.pool, &deputy, 1), 1);
    CHECK_EQ(kill(deputy, SIGKILL), 0);
    atomic_store(&notes->hold, 0);
    check_squares(result, in);
    scene_close(&scene);
}

/* ---- streams ------------------------------------------------------------------------------------------ */

TEST(of_a_stream_only_the_item_that_is_to_blame_is_charged)
{
    enum { RETRIES = 1 };
    int in[FEW];
    struct scene scene;
    const void *out = NULL;
    kin_imap *imap = NULL;
    kin_failure failure;
    scene_open(&scene, RETRIES, LOST_MOST);
    choose(in);
    kin_items items = {.items = in, .count = FEW, .size = sizeof in[0]};
    CHECK_OK(kin_imap_open(&imap, scene.pool, KIN_FN(square), kin_input_items, &items,
                           &(kin_imap_options){.chunk = PORTION, .retries = RETRIES}));
    for (int i = 0; i < FEW; i++) {
        long size = kin_imap_next(imap, &out, kin_in_s(50));
        CHECK_RC(size, i == PLACE ? KIN_EFAILED : (long)sizeof(long));
        if (i != PLACE) CHECK_EQ(*(const long *)out, (long)in[i] * in[i]);
        if (i == PLACE) CHECK_OK(kin_imap_failure(imap, &failure));
    }
    CHECK_EQ(failure.cause, KIN_CAUSE_LOST);
    CHECK_LE(atomic_load(&notes->lost), RETRIES + 2);
    CHECK_OK(kin_imap_close(imap));
    scene_close(&scene);
}
