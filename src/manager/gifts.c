/* gifts.c: see gifts.h.
 *
 * CRASH: whatever a fork copies is whole: a gift is in the list by one store, and out of it by one.  The count may be
 * wrong in the copy, which is freed.
 */
#include "manager/gifts.h"

#include <string.h>

#include "manager/manager.h"
#include "os/os.h"
#include "os/suspend.h"

/* To give one back is not worth more. */
#define GIVE_BACK_MS 1000

struct kin__gift {
    struct kin__gift *next;
    char ident[];
};

static void free_all(struct kin__gifts *gifts)
{
    struct kin__gift *gift;
    while ((gift = gifts->first) != NULL) {
        gifts->first = gift->next;
        kin__os_free(gift);
    }
    atomic_store_explicit(&gifts->count, 0, memory_order_relaxed);
}

static void enter(struct kin__gifts *gifts)
{
    int self = kin__os_pid();
    kin__turn_wait(&gifts->turn);
    if (gifts->pid == self) return;
    /* Its parent gives them back. */
    free_all(gifts);
    gifts->pid = self;
}

void kin__gift_note(struct kin__gifts *gifts, const char *ident)
{
    struct kin__gift *gift = kin__os_malloc(sizeof *gift + strlen(ident) + 1);
    if (gift == NULL) return;
    strcpy(gift->ident, ident);
    enter(gifts);
    gift->next = gifts->first;
    gifts->first = gift;
    atomic_fetch_add_explicit(&gifts->count, 1, memory_order_relaxed);
    kin__turn_end(&gifts->turn);
}

/* The newest of that object; NULL as `ident`: the oldest of all.  NULL: there is none. */
static struct kin__gift *take(struct kin__gifts *gifts, const char *ident)
{
    enter(gifts);
    struct kin__gift **at = &gifts->first, *gift;
    while ((gift = *at) != NULL && (ident != NULL ? strcmp(gift->ident, ident) != 0 : gift->next != NULL))
        at = &gift->next;
    if (gift != NULL) {
        *at = gift->next;
        atomic_fetch_sub_explicit(&gifts->count, 1, memory_order_relaxed);
    }
    kin__turn_end(&gifts->turn);
    return gift;
}

bool kin__gift_take(struct kin__gifts *gifts, const char *ident)
{
    /* Most handles never have any. */
    if (atomic_load_explicit(&gifts->count, memory_order_relaxed) == 0) return false;
    struct kin__gift *gift = take(gifts, ident);
    kin__os_free(gift);
    return gift != NULL;
}

void kin__gifts_free(struct kin__gifts *gifts)
{
    free_all(gifts);
}

/* `*asked`: the server may have done it, even after an error. */
static int decref(const kin_manager *manager, const char *ident, kin_deadline deadline, bool *asked)
{
    struct kin__client client = {0};
    kin_value ignored;
    kin_deadline most = kin_in_ms(GIVE_BACK_MS), end = deadline < most ? deadline : most;
    int rc = kin__client_connect(&client, manager->address, &manager->options, end);
    *asked = rc == 0;
    if (rc < 0) return rc;
    struct kin__arguments arguments = {.positional = kin_value_build("(s)", ident)};
    rc = kin__client_call(&client, NULL, "decref", arguments, &ignored, end);
    kin_value_clear(&ignored);
    kin__client_close(&client);
    return rc;
}

void kin__gifts_give_back(kin_manager *manager, size_t most, kin_deadline deadline)
{
    struct kin__gifts *gifts = &manager->gifts;
    struct kin__gift *oldest;
    int rc = 0;
    if (atomic_load_explicit(&gifts->count, memory_order_relaxed) <= most) return;
    /* Even by one who is cancelled: the server keeps what nobody gives back. */
    kin__shield(1);
    while ((rc == 0 || rc == KIN_EREMOTE) &&
           atomic_load_explicit(&gifts->count, memory_order_relaxed) > most &&
           (oldest = take(gifts, NULL)) != NULL) {
        bool asked;
        rc = decref(manager, oldest->ident, deadline, &asked);
        /* The next call tries again; but to ask twice might take what a proxy has. */
        if (!asked) kin__gift_note(gifts, oldest->ident);
        kin__os_free(oldest);
    }
    kin__shield(-1);
}
