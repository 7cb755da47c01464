/* lock_scene.h: what the crash tests of lock and rlock share: the scene, the one who sleeps while the
 * victim dies, the one who barges in, and kills at random. */
#ifndef LOCK_SCENE_H
#define LOCK_SCENE_H

#include "crash.h"

#include "memory/owner.h"
#include "support/chaos.h"

/* The kind of lock, over the address of one. */
struct lock_calls {
    int (*acquire)(void *lock, kin_deadline deadline);
    int (*release)(void *lock);
    /* What the victim does, and who sleeps. */
    void (*use)(void *lock);
    /* What who has it does with it besides, in the test at random; may be NULL. */
    void (*inside)(void *lock);
    /* What a survivor finds: it can have the lock, and nobody has it afterwards. */
    void (*check)(void *lock);
};

struct scene {
    const struct lock_calls *calls;
    void *lock;
    struct kin__wait_point *point; /* its word */
    struct books books;
    pid_t sleeper;
    bool barged;
};

static inline struct scene scene_of(const struct lock_calls *calls, void *lock)
{
    return (struct scene){
        .calls = calls, .lock = lock, .point = &((struct kin__robust *)lock)->point, .books = books_open()};
}

static inline void use(void *context)
{
    struct scene *scene = context;
    scene->calls->use(scene->lock);
}

static inline bool held(void *context)
{
    struct scene *scene = context;
    return (atomic_load(&scene->point->word) & KIN__WORD_OWNER) != 0;
}

/* ---- survivors ---------------------------------------------------------------------------------- */

static inline void survive(void *context, long step, bool finished)
{
    struct scene *scene = context;
    (void)step;
    (void)finished;
    scene->calls->check(scene->lock);
    books_check(&scene->books);
    nobody_waits(scene->point);
}

/* ---- one who sleeps while the victim, which holds the lock, dies ---------------------------------- */

static inline void sleeper_at_held(void *context, pid_t victim)
{
    struct scene *scene = context;
    (void)victim;
    scene->sleeper = test_child(use, scene);
    until_waiting(scene->point, 1);
}

static inline void survive_with_sleeper(void *context, long step, bool finished)
{
    struct scene *scene = context;
    CHECK_EQ(test_collect(scene->sleeper), 0);
    survive(context, step, finished);
}

/* ---- one who takes the lock between "it is free" and the wake-up ------------------------------------ */

static inline void barge(void *context, long step, pid_t victim)
{
    struct scene *scene = context;
    (void)step;
    (void)victim;
    int rc = scene->calls->acquire(scene->lock, KIN_NOW);
    CHECK(rc == 0 || rc == -ETIMEDOUT);
    scene->barged = rc == 0;
}

static inline void survive_barger(void *context, long step, bool finished)
{
    struct scene *scene = context;
    if (scene->barged) CHECK_OK(scene->calls->release(scene->lock));
    survive_with_sleeper(context, step, finished);
}

/* ---- the victim wants what another has ---------------------------------------------------------------- */

static inline void hold(void *context)
{
    struct scene *scene = context;
    CHECK_OK(scene->calls->acquire(scene->lock, KIN_NOW));
}

static inline void survive_holder(void *context, long step, bool finished)
{
    struct scene *scene = context;
    CHECK_OK(scene->calls->release(scene->lock));
    survive(context, step, finished);
}

/* The victim was asleep, and dies on its way out of it, with the lock or before. */
static inline void release_to_victim(void *context)
{
    struct scene *scene = context;
    int rc = scene->calls->release(scene->lock);
    CHECK(rc == 0 || rc == -EPERM);
}

static inline bool free_or_not_mine(void *context)
{
    struct scene *scene = context;
    return !kin__word_is_mine(atomic_load(&scene->point->word));
}

/* ---- at random -------------------------------------------------------------------------------------------- */

/* In family memory.  The two are equal whenever nobody has the lock, but for what the dead left. */
struct pair {
    const struct lock_calls *calls;
    void *lock;
    volatile long first, second;
};

static inline void count_pair(void *context, unsigned index)
{
    struct pair *pair = context;
    (void)index;
    while (!chaos_stopping()) {
        int rc = pair->calls->acquire(pair->lock, kin_in_s(60));
        CHECK_OK(rc);
        if (rc == KIN_OWNER_DIED) pair->second = pair->first;
        CHECK_EQ(pair->first, pair->second);
        pair->first++;
        if (pair->calls->inside != NULL) pair->calls->inside(pair->lock);
        pair->second++;
        CHECK_OK(pair->calls->release(pair->lock));
        chaos_progress();
    }
}

static inline void kill_at_random(const struct lock_calls *calls, void *lock)
{
    struct pair *pair = kin_alloc(sizeof *pair);
    *pair = (struct pair){.calls = calls, .lock = lock};
    struct chaos_report report = chaos(&(struct chaos){.roles = {{"counter", 4, count_pair}},
                                                       .context = pair,
                                                       .kills = test_sanitized() ? 50 : 1000,
                                                       .seconds = 60,
                                                       .delay_us = 500,
                                                       .hang_seconds = 10});
    CHECK_GT(report.progress, 0);
    CHECK_OK(calls->acquire(lock, kin_in_s(60)));
    CHECK_OK(calls->release(lock));
    NOTE("%ld kills, %lu turns, worst stall %.0f ms", report.kills, (unsigned long)report.progress,
         report.worst_stall_ms);
    CHECK_OK(kin_free(pair));
}

#endif
