/* gifts.c: see gifts.h.
 *
 * CRASH: whatever a fork copies is whole from its beginning to its end: by that way a gift is in the list by one store,
 * and out of it by one.  The way back and the count may be wrong in the copy, which is freed.
 */
#include "manager/gifts.h"

#include <string.h>

#include "manager/manager.h"
#include "os/os.h"
#include "os/suspend.h"

/* For all that one call gives back: it is not worth more. */
#define GIVE_BACK_MS 1000

/* After a failure none is given back for so many times as long as that took. */
#define FAILED_TIMES 3

/* When so many are there, which the server did not take back, the oldest are forgotten. */
#define NOTED_MOST ((size_t)2 * KIN__GIFTS_MOST)

struct kin__gift {
    struct kin__links link;
    char ident[];
};

static struct kin__gift *gift_of(struct kin__links *link)
{
    return kin__links_entry(link, struct kin__gift, link);
}

static void free_all(struct kin__gifts *gifts)
{
    if (gifts->pid == 0) return;
    for (struct kin__links *link = gifts->list.next, *next; link != &gifts->list; link = next) {
        next = link->next;
        kin__os_free(gift_of(link));
    }
    kin__links_init(&gifts->list);
    atomic_store_explicit(&gifts->count, 0, memory_order_relaxed);
}

static void enter(struct kin__gifts *gifts)
{
    int self = kin__os_pid();
    kin__turn_wait(&gifts->turn);
    if (gifts->pid == self) return;
    /* Its parent gives them back. */
    free_all(gifts);
    kin__links_init(&gifts->list);
    gifts->pid = self;
}

/* By whoever has the turn. */
static struct kin__gift *take(struct kin__gifts *gifts, struct kin__links *link)
{
    kin__links_remove(link);
    atomic_fetch_sub_explicit(&gifts->count, 1, memory_order_relaxed);
    return gift_of(link);
}

/* Behind `link`, by which what came first is first. */
static void put(struct kin__gifts *gifts, struct kin__gift *gift, struct kin__links *link)
{
    kin__links_append(link->next, &gift->link);
    atomic_fetch_add_explicit(&gifts->count, 1, memory_order_relaxed);
}

void kin__gift_note(struct kin__gifts *gifts, const char *ident)
{
    struct kin__gift *gift = kin__os_malloc(sizeof *gift + strlen(ident) + 1), *forgotten = NULL;
    if (gift == NULL) return;
    strcpy(gift->ident, ident);
    enter(gifts);
    if (atomic_load_explicit(&gifts->count, memory_order_relaxed) >= NOTED_MOST)
        forgotten = take(gifts, gifts->list.next);
    put(gifts, gift, gifts->list.previous);
    kin__turn_end(&gifts->turn);
    kin__os_free(forgotten);
}

bool kin__gift_take(struct kin__gifts *gifts, const char *ident)
{
    struct kin__gift *gift = NULL;
    /* Most handles never have any. */
    if (atomic_load_explicit(&gifts->count, memory_order_relaxed) == 0) return false;
    enter(gifts);
    /* A proxy is made of what has just come. */
    struct kin__links *link = gifts->list.previous;
    while (link != &gifts->list && strcmp(gift_of(link)->ident, ident) != 0) link = link->previous;
    if (link != &gifts->list) gift = take(gifts, link);
    kin__turn_end(&gifts->turn);
    kin__os_free(gift);
    return gift != NULL;
}

/* The oldest, if there are more than `most`. */
static struct kin__gift *take_oldest(struct kin__gifts *gifts, size_t most)
{
    struct kin__gift *gift = NULL;
    enter(gifts);
    if (atomic_load_explicit(&gifts->count, memory_order_relaxed) > most)
        gift = take(gifts, gifts->list.next);
    kin__turn_end(&gifts->turn);
    return gift;
}

static void put_back(struct kin__gifts *gifts, struct kin__gift *oldest)
{
    enter(gifts);
    put(gifts, oldest, &gifts->list);
    kin__turn_end(&gifts->turn);
}

void kin__gifts_free(struct kin__gifts *gifts)
{
    enter(gifts);
    free_all(gifts);
    kin__turn_end(&gifts->turn);
}

/* `*asked`: the server may have done it, even after an error. */
static int decref(const kin_manager *manager, const char *ident, kin_deadline deadline, bool *asked)
{
    struct kin__client client = {0};
    int rc = kin__client_connect(&client, manager->address, &manager->options, deadline);
    *asked = rc == 0;
    if (rc < 0) return rc;
    rc = kin__client_decref(&client, ident, deadline);
    kin__client_close(&client);
    return rc;
}

static int give_oldest_back(kin_manager *manager, size_t most, kin_deadline deadline)
{
    bool asked;
    struct kin__gift *oldest = take_oldest(&manager->gifts, most);
    if (oldest == NULL) return 0;
    int rc = decref(manager, oldest->ident, deadline, &asked);
    /* A later call tries again; but to ask twice might take what a proxy has. */
    if (asked)
        kin__os_free(oldest);
    else
        put_back(&manager->gifts, oldest);
    return rc == 0 || rc == KIN_EREMOTE ? 1 : rc;
}

bool kin__gifts_give_back(kin_manager *manager, size_t most, kin_deadline deadline)
{
    struct kin__gifts *gifts = &manager->gifts;
    if (atomic_load_explicit(&gifts->count, memory_order_relaxed) <= most) return true;
    kin_deadline begun = kin_clock(), longest = kin_in_ms(GIVE_BACK_MS),
                 end = deadline < longest ? deadline : longest;
    /* At the end of all there is no later. */
    if (most > 0 && begun < atomic_load_explicit(&gifts->not_before, memory_order_relaxed)) return false;
    int rc = 1;
    /* Even by one who is cancelled: the server keeps what nobody gives back. */
    kin__shield(1);
    while (rc == 1 && kin_clock() < end) rc = give_oldest_back(manager, most, end);
    kin__shield(-1);
    kin_deadline now = kin_clock();
    if (rc < 0)
        atomic_store_explicit(&gifts->not_before, now + FAILED_TIMES * (now - begun), memory_order_relaxed);
    return rc == 0;
}
