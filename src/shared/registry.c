/* registry.c: the family's list of names: what is published under each.
 *
 * Invariants:
 *  - A name is in the list while its `object` is not NULL: one store puts it there and one takes
 *    it out, so a death inside leaves nothing to repair.
 *  - Blocks of names are added and never taken away; a name that was taken out leaves its place to
 *    another.
 */
#include <errno.h>
#include <string.h>

#include <kin/error.h>
#include <kin/publish.h>

#include "memory/region.h"
#include "shared/registry.h"

static struct kin__registry *registry(void)
{
    return &kin__family.header->registry;
}

static int lock(kin_deadline deadline)
{
    int rc = kin__latch_acquire(&registry()->latch, deadline);
    if (rc == 1) kin__latch_clean(&registry()->latch);
    return rc < 0 ? rc : 0;
}

static void unlock(void)
{
    kin__latch_release(&registry()->latch);
}

/* Under the latch: the place of a name, or NULL; a free place; where the next block belongs. */
static struct kin__name *search(const char *text, struct kin__name **free, _Atomic(void *) **end)
{
    _Atomic(void *) *link = &registry()->first;
    *free = NULL;
    for (struct kin__names *block; (block = atomic_load(link)) != NULL; link = &block->next) {
        for (unsigned i = 0; i < KIN__NAMES_IN_BLOCK; i++) {
            struct kin__name *name = &block->names[i];
            if (name->object == NULL)
                *free = *free == NULL ? name : *free;
            else if (strcmp(name->text, text) == 0)
                return name;
        }
    }
    *end = link;
    return NULL;
}

static int check_name(const char *name)
{
    if (name == NULL || name[0] == '\0' || strnlen(name, KIN_NAME_SIZE) == KIN_NAME_SIZE) return -EINVAL;
    return kin__enter();
}

/* Under the latch, with a block in hand if `*spare`: 0, -EEXIST, or -EAGAIN: get a block first. */
static int enter_name(const char *text, void *object, struct kin__names **spare)
{
    struct kin__name *free;
    _Atomic(void *) *end;
    if (search(text, &free, &end) != NULL) return -EEXIST;
    if (free == NULL) {
        if (*spare == NULL) return -EAGAIN;
        free = &(*spare)->names[0];
        kin__allocate_publish(end);
        *spare = NULL;
    }
    memset(free->text, 0, sizeof free->text);
    memcpy(free->text, text, strlen(text));
    /* CRASH: until this store the place is free. */
    __atomic_store_n(&free->object, object, __ATOMIC_SEQ_CST);
    return 0;
}

int kin_publish(const char *name, void *object)
{
    struct kin__names *spare = NULL;
    int rc = object == NULL ? -EINVAL : check_name(name);
    if (rc < 0) return rc;
    if (!kin__in_family(object)) return KIN_EFOREIGN;
    for (;;) {
        rc = lock(KIN_FOREVER);
        if (rc < 0) break;
        rc = enter_name(name, object, &spare);
        unlock();
        if (rc != -EAGAIN) break;
        spare = kin__allocate(sizeof *spare, &rc);
        if (spare == NULL) break;
        memset(spare, 0, sizeof *spare);
    }
    if (spare != NULL) kin__allocate_cancel();
    if (rc == 0) kin__event_notify(&registry()->changed, INT32_MAX);
    return rc;
}

int kin_unpublish(const char *name)
{
    struct kin__name *free;
    _Atomic(void *) *end;
    int rc = check_name(name);
    if (rc == 0) rc = lock(KIN_FOREVER);
    if (rc < 0) return rc;
    struct kin__name *found = search(name, &free, &end);
    if (found != NULL) __atomic_store_n(&found->object, NULL, __ATOMIC_SEQ_CST);
    unlock();
    return found != NULL ? 0 : -ENOENT;
}

/* 0: *object is set; -ENOENT. */
static int look_up(const char *name, kin_deadline deadline, void **object)
{
    struct kin__name *free;
    _Atomic(void *) *end;
    int rc = lock(deadline);
    if (rc < 0) return rc;
    struct kin__name *found = search(name, &free, &end);
    if (found != NULL) *object = found->object;
    unlock();
    return found != NULL ? 0 : -ENOENT;
}

static int find(const char *name, kin_deadline deadline, void **object)
{
    int rc = look_up(name, deadline, object);
    while (rc == -ENOENT && deadline > 0) {
        uint32_t seen = kin__event_prepare(&registry()->changed);
        rc = look_up(name, deadline, object);
        int slept = rc == -ENOENT ? kin__event_sleep(&registry()->changed, seen, deadline) : 0;
        kin__event_done(&registry()->changed);
        if (slept == -ETIMEDOUT) return look_up(name, deadline, object);
        if (slept < 0) return slept;
        /* A slice that has ended, or a wake-up for another name: look again. */
    }
    return rc;
}

void *kin_find(const char *name, kin_deadline deadline)
{
    void *object = NULL;
    int rc = check_name(name);
    if (rc == 0) rc = find(name, deadline, &object);
    if (rc < 0) errno = -rc;
    return rc < 0 ? NULL : object;
}

KIN__LAYOUT_PART(names, struct kin__names);
