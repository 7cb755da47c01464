/* event_kin.c: kin's row of the event benchmark. */
#include <kin.h>
#include <stdatomic.h>

#include "meet.h"

struct place {
    kin_event *go[2]; /* in turn, so that one can be cleared while the other is set */
    kin_event *back[2];
    atomic_int woken;
};

static int lead(struct meet_arena *arena, struct place *place)
{
    for (long i = 0; i < arena->rounds; i++) {
        kin_event_clear(place->go[(i + 1) % 2]);
        kin_event_clear(place->back[(i + 1) % 2]);
        kin_event_set(place->go[i % 2]);
        if (kin_event_wait(place->back[i % 2], KIN_FOREVER) < 0) return 1;
    }
    return 0;
}

static int follow(struct meet_arena *arena, struct place *place)
{
    for (long i = 0; i < arena->rounds; i++) {
        if (kin_event_wait(place->go[i % 2], KIN_FOREVER) < 0) return 1;
        if ((atomic_fetch_add(&place->woken, 1) + 1) % (arena->processes - 1) == 0)
            kin_event_set(place->back[i % 2]);
    }
    return 0;
}

/* It joins the family. */
static int prepare(int index, void *context)
{
    (void)index;
    (void)context;
    return kin_family_open(NULL) < 0;
}

static int work(int index, void *context)
{
    struct meet_arena *arena = context;
    struct place *place = (struct place *)arena->place;
    int rc = index == 0 ? lead(arena, place) : follow(arena, place);
    arena->passed += arena->rounds;
    return rc;
}

double bench_kin_event(const struct bench_case *test, long count)
{
    struct meet_arena *arena = bench_shared(sizeof *arena);
    struct place *place = (struct place *)arena->place;
    kin_event **events[] = {&place->go[0], &place->go[1], &place->back[0], &place->back[1]};
    for (int i = 0; i < 4; i++) {
        int rc = kin_event_open(events[i], NULL);
        if (rc < 0) return bench_fail("kin_event_open: %s", kin_strerror(rc));
    }
    return meet_measure(test, count, arena, prepare, work);
}
