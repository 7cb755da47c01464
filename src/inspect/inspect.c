/* inspect.c: finding the families, looking at each, and telling what was seen. */
#include <kin/inspect.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kin/error.h>

#include "inspect/seen.h"
#include "os/os.h"
#include "os/processes.h"
#include "os/search.h"

static const size_t item_size[KIN__SEEN_KINDS] = {
    [KIN__SEEN_PROCESSES] = sizeof(kin_inspected_process), [KIN__SEEN_THREADS] = sizeof(kin_inspected_thread),
    [KIN__SEEN_POOLS] = sizeof(kin_inspected_pool),        [KIN__SEEN_WORKERS] = sizeof(kin_inspected_worker),
    [KIN__SEEN_QUEUES] = sizeof(kin_inspected_queue),      [KIN__SEEN_LOCKS] = sizeof(kin_inspected_lock),
    [KIN__SEEN_NAMES] = sizeof(struct kin__seen_name),
};

/* ---- lists ------------------------------------------------------------------------------------ */

void *kin__seen_add(struct kin__seen *seen, enum kin__seen_kind kind, int *rc)
{
    struct kin__seen_list *list = &seen->list[kind];
    if (list->count == KIN__SEEN_MOST) {
        seen->about.partial = true;
        return NULL;
    }
    int made = kin__os_make_room(&list->items, list->count, item_size[kind]);
    if (made < 0) {
        *rc = made;
        return NULL;
    }
    void *item = (char *)list->items + list->count++ * item_size[kind];
    memset(item, 0, item_size[kind]);
    return item;
}

void kin__seen_sort(struct kin__seen *seen, enum kin__seen_kind kind,
                    int (*compare)(const void *, const void *))
{
    struct kin__seen_list *list = &seen->list[kind];
    if (list->count > 1) qsort(list->items, list->count, item_size[kind], compare);
}

void *kin__seen_find(const struct kin__seen *seen, enum kin__seen_kind kind, const void *wanted,
                     int (*compare)(const void *, const void *))
{
    const struct kin__seen_list *list = &seen->list[kind];
    return list->count > 0 ? bsearch(wanted, list->items, list->count, item_size[kind], compare) : NULL;
}

static int compare_names(const void *left, const void *right)
{
    uint64_t a = ((const struct kin__seen_name *)left)->object;
    uint64_t b = ((const struct kin__seen_name *)right)->object;
    return (a > b) - (a < b);
}

void kin__seen_name_of(const struct kin__seen *seen, uint64_t object, char name[KIN_NAME_SIZE])
{
    const struct kin__seen_name wanted = {.object = object};
    const struct kin__seen_name *found = kin__seen_find(seen, KIN__SEEN_NAMES, &wanted, compare_names);
    if (found != NULL) memcpy(name, found->text, KIN_NAME_SIZE);
}

void kin__seen_free(struct kin__seen *seen)
{
    for (int kind = 0; kind < KIN__SEEN_KINDS; kind++) kin__os_free(seen->list[kind].items);
}

/* ---- one family ------------------------------------------------------------------------------- */

static void see_header(const struct kin__view *view, struct kin__seen *seen)
{
    kin_inspected_family *about = &seen->about;
    about->base = view->header.base;
    about->region_size = view->size;
    about->deaths = view->header.deaths;
    for (unsigned i = 0; i < KIN__CLASSES; i++) {
        const struct kin__class *class = &view->header.allocator.classes[i];
        about->heap_blocks += class->allocated;
        about->heap_allocated += class->allocated * class->block_size;
    }
}

static void count(struct kin__seen *seen)
{
    seen->about.processes = seen->list[KIN__SEEN_PROCESSES].count;
    seen->about.threads = seen->list[KIN__SEEN_THREADS].count;
    seen->about.pools = seen->list[KIN__SEEN_POOLS].count;
    seen->about.workers = seen->list[KIN__SEEN_WORKERS].count;
    seen->about.queues = seen->list[KIN__SEEN_QUEUES].count;
    seen->about.locks = seen->list[KIN__SEEN_LOCKS].count;
}

/* Names first, sorted: what comes after is told by them. */
static int see_parts(struct kin__view *view, struct kin__seen *seen)
{
    int rc = kin__see_members(view, seen);
    if (rc == 0) rc = kin__see_names(view, seen);
    kin__seen_sort(seen, KIN__SEEN_NAMES, compare_names);
    if (rc == 0) rc = kin__see_pools(view, seen);
    if (rc == 0) rc = kin__see_queues(view, seen);
    if (rc == 0) rc = kin__see_locks(view, seen);
    return rc;
}

int kin__seen_family(struct kin__seen *seen, int descriptor, int pid)
{
    void *whole;
    struct kin__view *view = kin__view_room(sizeof *view, &whole);
    if (view == NULL) return -ENOMEM;
    kin_inspected_family *about = &seen->about;
    int rc = kin__view_open(view, descriptor);
    if (rc != -EBADF) {
        about->id = view->inode;
        about->pid = pid;
        about->taken_at = kin__os_clock();
        uint64_t memory = 0;
        kin__os_file_usage(descriptor, &about->uid, &memory);
        about->memory = (size_t)memory;
        if ((view->header.name.state & 0xff) == KIN__NAME_PUBLISHED)
            memcpy(about->name, view->header.name.text, sizeof about->name);
        if (rc == 0) see_header(view, seen);
        if (rc == 0) rc = see_parts(view, seen);
        if (rc == KIN_ELAYOUT) {
            about->error = rc;
            rc = 0;
        }
        count(seen);
    }
    kin__os_free(whole);
    return rc;
}

/* ---- all ---------------------------------------------------------------------------------------- */

/* PRIVATE.
 *   inodes   of all files that have been looked at, whatever was in them, sorted: each process of a family
 *            shows its file again. */
struct inspecting {
    struct kin_inspection *inspection;
    const kin_inspect_options *options;
    uint64_t *inodes;
    size_t inode_count;
    int rc;
};

/* Where in `inodes` it is, or belongs. */
static size_t place_of(const struct inspecting *inspecting, uint64_t inode)
{
    size_t low = 0, high = inspecting->inode_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (inspecting->inodes[middle] < inode)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* 1: it has not been looked at; 0: it has; -ENOMEM. */
static int is_new(struct inspecting *inspecting, uint64_t inode)
{
    size_t place = place_of(inspecting, inode), count = inspecting->inode_count;
    if (place < count && inspecting->inodes[place] == inode) return 0;
    void *inodes = inspecting->inodes;
    int rc = kin__os_make_room(&inodes, count, sizeof *inspecting->inodes);
    inspecting->inodes = inodes;
    if (rc < 0) return rc;
    uint64_t *at = inspecting->inodes + place;
    memmove(at + 1, at, (count - place) * sizeof *at);
    *at = inode;
    inspecting->inode_count++;
    return 1;
}

static bool is_wanted(const struct kin__seen *seen, const kin_inspect_options *options)
{
    const kin_inspected_process *processes = seen->list[KIN__SEEN_PROCESSES].items;
    if (options->name != NULL && strcmp(options->name, seen->about.name) != 0) return false;
    bool found = options->pid == 0 || options->pid == seen->about.pid;
    for (size_t i = 0; i < seen->about.processes && !found; i++) found = processes[i].pid == options->pid;
    return found;
}

static bool see_one(int descriptor, int pid, void *context)
{
    struct inspecting *inspecting = context;
    struct kin_inspection *inspection = inspecting->inspection;
    uint64_t device, inode, size;
    if (kin__os_file_identity(descriptor, &device, &inode, &size) < 0) return false;
    struct kin__seen seen = {0};
    int rc = is_new(inspecting, inode);
    if (rc == 0) return false;
    if (rc > 0) rc = kin__seen_family(&seen, descriptor, pid);
    if (rc == 0 && is_wanted(&seen, inspecting->options)) {
        void *families = inspection->families;
        rc = kin__os_make_room(&families, inspection->count, sizeof seen);
        inspection->families = families;
        if (rc == 0) {
            inspection->families[inspection->count++] = seen;
            return false;
        }
    }
    kin__seen_free(&seen);
    if (rc != -ENOMEM) return false;
    inspecting->rc = rc;
    /* The search ends, and the descriptor would be ours. */
    kin__os_close(descriptor);
    return true;
}

int kin_inspect_sized(kin_inspection **inspection, const kin_inspect_options *options, size_t size)
{
    kin_inspect_options given = {0};
    if (inspection == NULL) return -EINVAL;
    if (options != NULL) memcpy(&given, options, size < sizeof given ? size : sizeof given);
    struct inspecting inspecting = {.options = &given};
    inspecting.inspection = kin__os_calloc(1, sizeof *inspecting.inspection);
    if (inspecting.inspection == NULL) return -ENOMEM;
    int rc = kin__os_memory_search(KIN__REGION_NAME, KIN__SEARCH_TO_READ, see_one, &inspecting);
    kin__os_free(inspecting.inodes);
    if (rc >= 0) rc = inspecting.rc;
    if (rc < 0)
        kin_inspection_close(inspecting.inspection);
    else
        *inspection = inspecting.inspection;
    return rc;
}

void kin_inspection_close(kin_inspection *inspection)
{
    if (inspection == NULL) return;
    for (size_t i = 0; i < inspection->count; i++) kin__seen_free(&inspection->families[i]);
    kin__os_free(inspection->families);
    kin__os_free(inspection);
}

/* ---- telling ---------------------------------------------------------------------------------------- */

int kin_inspection_family_sized(const kin_inspection *inspection, size_t index, kin_inspected_family *family,
                                size_t size)
{
    if (inspection == NULL || family == NULL) return -EINVAL;
    if (index >= inspection->count) return KIN_EINDEX;
    const kin_inspected_family *about = &inspection->families[index].about;
    memcpy(family, about, size < sizeof *about ? size : sizeof *about);
    return 0;
}

static int tell(const kin_inspection *inspection, size_t family, enum kin__seen_kind kind, size_t index,
                void *out, size_t size)
{
    if (inspection == NULL || out == NULL) return -EINVAL;
    if (family >= inspection->count) return KIN_EINDEX;
    const struct kin__seen_list *list = &inspection->families[family].list[kind];
    if (index >= list->count) return KIN_EINDEX;
    memcpy(out, (const char *)list->items + index * item_size[kind],
           size < item_size[kind] ? size : item_size[kind]);
    return 0;
}

int kin_inspection_process_sized(const kin_inspection *inspection, size_t family, size_t index,
                                 kin_inspected_process *process, size_t size)
{
    return tell(inspection, family, KIN__SEEN_PROCESSES, index, process, size);
}

int kin_inspection_thread_sized(const kin_inspection *inspection, size_t family, size_t index,
                                kin_inspected_thread *thread, size_t size)
{
    return tell(inspection, family, KIN__SEEN_THREADS, index, thread, size);
}

int kin_inspection_pool_sized(const kin_inspection *inspection, size_t family, size_t index,
                              kin_inspected_pool *pool, size_t size)
{
    return tell(inspection, family, KIN__SEEN_POOLS, index, pool, size);
}

int kin_inspection_worker_sized(const kin_inspection *inspection, size_t family, size_t index,
                                kin_inspected_worker *worker, size_t size)
{
    return tell(inspection, family, KIN__SEEN_WORKERS, index, worker, size);
}

int kin_inspection_queue_sized(const kin_inspection *inspection, size_t family, size_t index,
                               kin_inspected_queue *queue, size_t size)
{
    return tell(inspection, family, KIN__SEEN_QUEUES, index, queue, size);
}

int kin_inspection_lock_sized(const kin_inspection *inspection, size_t family, size_t index,
                              kin_inspected_lock *lock, size_t size)
{
    return tell(inspection, family, KIN__SEEN_LOCKS, index, lock, size);
}
