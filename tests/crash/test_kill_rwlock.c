/* test_kill_rwlock.c: who reads, writes or waits is killed at every instruction. */
#include "crash.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/stepkill.h"
#include "sync/rwlock.h"

struct scene {
    kin_rwlock *lock;
    bool write; /* what the victim does */
    bool other; /* what the sleeper does */
    struct books books;
    pid_t sleeper;
    _Atomic int *stage; /* shared with the others */
};

static int acquire(struct scene *scene, bool write, kin_deadline deadline)
{
    return write ? kin_rwlock_acquire_write(scene->lock, deadline)
                 : kin_rwlock_acquire_read(scene->lock, deadline);
}

static void use(void *context)
{
    struct scene *scene = context;
    CHECK_OK(acquire(scene, scene->write, kin_in_s(20)));
    CHECK_OK(kin_rwlock_release(scene->lock));
}

static void open_it(struct scene *scene, bool fair)
{
    CHECK_OK(kin_rwlock_open(&scene->lock, &(kin_rwlock_options){.fair = fair}));
    scene->stage = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(scene->stage != MAP_FAILED);
    scene->books = books_open();
}

static void close_it(struct scene *scene)
{
    CHECK_OK(kin_rwlock_close(scene->lock));
    munmap(scene->stage, 4096);
}

static void survive(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    (void)finished;
    if (scene->sleeper != 0) CHECK_EQ(test_collect(scene->sleeper), 0);
    int told = acquire(scene, false, kin_in_s(60));
    CHECK_OK(told);
    CHECK_OK(kin_rwlock_release(scene->lock));
    if (!scene->write && !scene->other) CHECK_RC(told, 0);
    CHECK_RC(acquire(scene, true, kin_in_s(60)), 0);
    CHECK_OK(kin_rwlock_release(scene->lock));
    CHECK_EQ(kin_rwlock_readers(scene->lock), 0);
    books_check(&scene->books);
    /* Nothing is in use: it can be closed and opened anew. */
    struct kin_rwlock *before = scene->lock;
    CHECK_OK(kin_rwlock_close(before));
    CHECK_OK(kin_rwlock_open(&scene->lock, &(kin_rwlock_options){.fair = scene->stage[3] != 0}));
}

static void killed_alone(bool write, bool fair)
{
    struct scene scene = {.write = write};
    open_it(&scene, fair);
    scene.stage[3] = fair;
    struct stepkill_report report = stepkill(
        &(struct stepkill){.prepare = join_family, .operation = use, .survive = survive, .context = &scene});
    CHECK_GT(report.points, 40);
    books_no_rescue(&scene.books);
    close_it(&scene);
}

TEST(a_reader_alone, .deadline = 240)
{
    killed_alone(false, false);
}

TEST(a_writer_alone, .deadline = 240)
{
    killed_alone(true, false);
}

TEST(a_writer_alone_of_a_fair_lock, .deadline = 240)
{
    killed_alone(true, true);
}

/* Somebody else comes while the victim is at the point, and waits, or not. */
static void sleeper_main(void *context)
{
    struct scene *scene = context;
    scene->stage[0] = 1;
    CHECK_OK(acquire(scene, scene->other, kin_in_s(20)));
    scene->stage[1] = 1;
    CHECK_OK(kin_rwlock_release(scene->lock));
}

static unsigned sleepers(void)
{
    unsigned count = 0;
    uint32_t high = atomic_load(&kin__family.header->member_high);
    for (uint32_t i = 0; i < high; i++) {
        struct kin__member *member = &kin__family.members[i];
        count += kin__state_of(atomic_load(&member->state)) == KIN__SLOT_LIVE &&
                 kin__waiting_on(member, 0) != NULL;
    }
    return count;
}

static void start_sleeper(void *context, long step, pid_t victim)
{
    struct scene *scene = context;
    (void)step;
    (void)victim;
    unsigned before = sleepers();
    scene->stage[0] = scene->stage[1] = 0;
    scene->sleeper = test_child(sleeper_main, scene);
    test_until(scene->stage[1] == 1 || sleepers() > before);
}

static void killed_before_another(bool write, bool other, bool fair, unsigned stride)
{
    struct scene scene = {.write = write, .other = other};
    open_it(&scene, fair);
    scene.stage[3] = fair;
    stepkill(&(struct stepkill){.prepare = join_family,
                                .operation = use,
                                .at_step = start_sleeper,
                                .survive = survive,
                                .stride = stride,
                                .context = &scene});
    close_it(&scene);
}

TEST(a_reader_before_a_writer, .deadline = 300)
{
    killed_before_another(false, true, false, 1);
}

TEST(a_writer_before_a_writer, .deadline = 300)
{
    killed_before_another(true, true, false, 1);
}

/* Readers notice a dead writer when their slice is over. */
TEST(a_writer_before_a_reader, .deadline = 300)
{
    killed_before_another(true, false, false, 7);
}

TEST(a_writer_before_a_reader_of_a_fair_lock, .deadline = 300)
{
    killed_before_another(true, false, true, 11);
}

/* The victim waits for what the case's process holds. */
static void hold(void *context)
{
    struct scene *scene = context;
    CHECK_OK(acquire(scene, scene->other, KIN_NOW));
}

static void let_go(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_rwlock_release(scene->lock));
    scene->stage[2] = 1;
}

static void survive_holder(void *context, long step, bool finished)
{
    struct scene *scene = context;
    if (scene->stage[2] == 0) CHECK_OK(kin_rwlock_release(scene->lock));
    scene->stage[2] = 0;
    survive(context, step, finished);
}

static void killed_waiting(bool write, bool held_for_writing, bool fair)
{
    struct scene scene = {.write = write, .other = held_for_writing};
    open_it(&scene, fair);
    scene.stage[3] = fair;
    stepkill(&(struct stepkill){.setup = hold,
                                .prepare = join_family,
                                .operation = use,
                                .wake = let_go,
                                .asleep_ms = 3,
                                .survive = survive_holder,
                                .mode = STEPKILL_ADDRESSES,
                                .context = &scene});
    close_it(&scene);
}

TEST(a_reader_that_waits, .deadline = 300)
{
    killed_waiting(false, true, false);
}

TEST(a_writer_that_waits_for_a_reader, .deadline = 300)
{
    killed_waiting(true, false, false);
}

TEST(a_writer_that_waits_for_a_writer, .deadline = 300)
{
    killed_waiting(true, true, true);
}

/* ---- a writer in a coroutine --------------------------------------------------------------------- */

static int write_in_coroutine(void *context)
{
    struct scene *scene = context;
    CHECK_OK(kin_rwlock_acquire_write(scene->lock, KIN_FOREVER));
    return kin_rwlock_release(scene->lock);
}

static void loop_main(void *context)
{
    CHECK_OK(kin_coroutine_start(NULL, write_in_coroutine, context, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
}

static void reader_main(void *context)
{
    struct scene *scene = context;
    CHECK_OK(acquire(scene, false, kin_in_s(20)));
    CHECK_OK(kin_rwlock_release(scene->lock));
}

/* A reader stands back for a coroutine of another process, which is killed: the reader is told, before its
 * slice is over or at its end. */
static void coroutine_killed(bool fair)
{
    struct scene scene = {0};
    open_it(&scene, fair);
    CHECK_OK(acquire(&scene, true, KIN_NOW));
    pid_t writer = test_child(loop_main, &scene);
    until_waiting(&scene.lock->gate.robust.point, 1);
    CHECK_EQ(kill(writer, SIGSTOP), 0);
    int status;
    CHECK_EQ(waitpid(writer, &status, WUNTRACED), writer);
    pid_t reader = test_child(reader_main, &scene);
    if (!fair) until_waiting(&scene.lock->waiting.point, 1);
    CHECK_OK(kin_rwlock_release(scene.lock));
    uint32_t before = atomic_load(&scene.lock->waiting.point.word);
    CHECK_EQ(kill(writer, SIGKILL), 0);
    CHECK_EQ(WTERMSIG(test_collect(writer)), SIGKILL);
    CHECK_OK(kin_sweep());
    /* Another may be sweeping just now. */
    if (!fair) test_until(atomic_load(&scene.lock->waiting.point.word) != before);
    CHECK_EQ(test_collect(reader), 0);
    books_check(&scene.books);
    close_it(&scene);
}

TEST(readers_are_told_of_a_coroutine_that_waited_to_write)
{
    coroutine_killed(false);
}

TEST(readers_of_a_fair_lock_go_on_after_a_coroutine_that_waited_to_write)
{
    coroutine_killed(true);
}

struct cancelled {
    struct scene *scene;
    kin_coroutine *writer;
    pid_t reader;
};

static int write_until_cancelled(void *context)
{
    struct cancelled *cancelled = context;
    CHECK_RC(kin_rwlock_acquire_write(cancelled->scene->lock, KIN_FOREVER), -ECANCELED);
    return 0;
}

/* Another coroutine of the same loop. */
static int cancel_it(void *context)
{
    struct cancelled *cancelled = context;
    /* The holder leaves it to the writer to tell readers. */
    cancelled->scene->stage[1] = 1;
    test_until(atomic_load(&cancelled->scene->lock->gate.robust.point.word) == 0);
    uint32_t before = atomic_load(&cancelled->scene->lock->waiting.point.word);
    CHECK_OK(kin_coroutine_cancel(cancelled->writer));
    CHECK_OK(kin_coroutine_join(cancelled->writer, KIN_FOREVER));
    CHECK_NE(atomic_load(&cancelled->scene->lock->waiting.point.word), before);
    return 0;
}

static void holder_main(void *context)
{
    struct scene *scene = context;
    CHECK_OK(acquire(scene, true, KIN_NOW));
    scene->stage[0] = 1;
    test_until(scene->stage[1] == 1);
    CHECK_OK(kin_rwlock_release(scene->lock));
}

TEST(readers_are_told_of_a_coroutine_that_gave_up_writing)
{
    struct scene scene = {0};
    open_it(&scene, false);
    struct cancelled cancelled = {.scene = &scene};
    pid_t holder = test_child(holder_main, &scene);
    test_until(scene.stage[0] == 1);
    cancelled.reader = test_child(reader_main, &scene);
    until_waiting(&scene.lock->waiting.point, 1);
    CHECK_OK(kin_coroutine_start(&cancelled.writer, write_until_cancelled, &cancelled, NULL));
    CHECK_OK(kin_coroutine_start(NULL, cancel_it, &cancelled, NULL));
    CHECK_OK(kin_loop_run(KIN_FOREVER));
    CHECK_OK(kin_coroutine_close(cancelled.writer));
    CHECK_OK(kin_loop_close());
    CHECK_EQ(test_collect(holder), 0);
    CHECK_EQ(test_collect(cancelled.reader), 0);
    books_check(&scene.books);
    close_it(&scene);
}
